// Package v1 holds the admission webhooks of the v1 Widget. Requests in other
// versions reach them too: the API server converts them first.
package v1

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	ctrl "sigs.k8s.io/controller-runtime"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	examplev1 "example.certtool.dev/operator/api/v1"
)

const (
	// DefaultColor is what a Widget without a color gets.
	DefaultColor = "grey"
	// MaxSide is the largest width and height that a Widget may have.
	MaxSide = 100
)

var widgetlog = logf.Log.WithName("widget-resource")

// SetupWidgetWebhookWithManager registers the admission and conversion webhooks of Widget.
func SetupWidgetWebhookWithManager(mgr ctrl.Manager) error {
	return ctrl.NewWebhookManagedBy(mgr, &examplev1.Widget{}).
		WithDefaulter(&WidgetDefaulter{}).
		WithValidator(&WidgetValidator{}).
		Complete()
}

// +kubebuilder:webhook:path=/mutate-example-certtool-dev-v1-widget,mutating=true,failurePolicy=fail,sideEffects=None,groups=example.certtool.dev,resources=widgets,verbs=create;update,versions=v1,name=mwidget-v1.kb.io,admissionReviewVersions=v1

// WidgetDefaulter fills in what a Widget leaves out.
type WidgetDefaulter struct{}

// Default sets the color of a Widget that has none.
func (*WidgetDefaulter) Default(_ context.Context, widget *examplev1.Widget) error {
	widgetlog.Info("Defaulting for Widget", "name", widget.GetName())
	if widget.Spec.Color == "" {
		widget.Spec.Color = DefaultColor
	}
	return nil
}

// +kubebuilder:webhook:path=/validate-example-certtool-dev-v1-widget,mutating=false,failurePolicy=fail,sideEffects=None,groups=example.certtool.dev,resources=widgets,verbs=create;update,versions=v1,name=vwidget-v1.kb.io,admissionReviewVersions=v1

// WidgetValidator refuses Widgets that are too large.
type WidgetValidator struct{}

// ValidateCreate checks a new Widget.
func (*WidgetValidator) ValidateCreate(_ context.Context, widget *examplev1.Widget) (admission.Warnings, error) {
	widgetlog.Info("Validation for Widget upon creation", "name", widget.GetName())
	return nil, validate(widget)
}

// ValidateUpdate checks a changed Widget.
func (*WidgetValidator) ValidateUpdate(_ context.Context, _, widget *examplev1.Widget) (admission.Warnings, error) {
	widgetlog.Info("Validation for Widget upon update", "name", widget.GetName())
	return nil, validate(widget)
}

// ValidateDelete lets every Widget go; the webhook is not registered for deletions.
func (*WidgetValidator) ValidateDelete(context.Context, *examplev1.Widget) (admission.Warnings, error) {
	return nil, nil
}

func validate(widget *examplev1.Widget) error {
	var errs field.ErrorList
	for _, side := range []struct {
		name  string
		value int32
	}{{"width", widget.Spec.Width}, {"height", widget.Spec.Height}} {
		if side.value > MaxSide {
			errs = append(errs, field.Invalid(field.NewPath("spec", side.name), side.value,
				fmt.Sprintf("must not be greater than %d", MaxSide)))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(examplev1.GroupVersion.WithKind("Widget").GroupKind(), widget.Name, errs)
}
