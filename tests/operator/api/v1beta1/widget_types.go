package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WidgetSpec is what a user asks for.
type WidgetSpec struct {
	// size of the widget, WIDTHxHEIGHT.
	// +kubebuilder:validation:Pattern=`^[1-9][0-9]*x[1-9][0-9]*$`
	// +required
	Size string `json:"size"`

	// color of the widget. The defaulting webhook fills it in.
	// +optional
	Color string `json:"color,omitempty"`
}

// WidgetStatus is what was observed.
type WidgetStatus struct {
	// conditions of the widget.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Size",type=string,JSONPath=`.spec.size`
// +kubebuilder:printcolumn:name="Color",type=string,JSONPath=`.spec.color`

// Widget is the Schema for the widgets API.
type Widget struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is a standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what a user asks for.
	// +required
	Spec WidgetSpec `json:"spec"`

	// status is what was observed.
	// +optional
	Status WidgetStatus `json:"status,omitzero"`
}

// +kubebuilder:object:root=true

// WidgetList is a list of Widgets.
type WidgetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []Widget `json:"items"`
}
