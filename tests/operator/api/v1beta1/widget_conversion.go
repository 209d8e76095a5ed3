package v1beta1

import (
	"fmt"
	"strconv"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/conversion"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	v1 "example.certtool.dev/operator/api/v1"
)

var log = logf.Log.WithName("widget-conversion")

// ConvertTo writes this Widget into hub, a v1 Widget.
func (w *Widget) ConvertTo(hub conversion.Hub) error {
	dst, ok := hub.(*v1.Widget)
	if !ok {
		return fmt.Errorf("cannot convert a v1beta1 Widget to %T", hub)
	}
	log.Info("Converting Widget", "from", "v1beta1", "to", "v1", "name", w.Name)

	width, height, err := parseSize(w.Spec.Size)
	if err != nil {
		return err
	}
	dst.ObjectMeta = w.ObjectMeta
	dst.Spec = v1.WidgetSpec{Width: width, Height: height, Color: w.Spec.Color}
	dst.Status.Conditions = w.Status.Conditions
	return nil
}

// ConvertFrom fills this Widget from hub, a v1 Widget.
func (w *Widget) ConvertFrom(hub conversion.Hub) error {
	src, ok := hub.(*v1.Widget)
	if !ok {
		return fmt.Errorf("cannot convert %T to a v1beta1 Widget", hub)
	}
	log.Info("Converting Widget", "from", "v1", "to", "v1beta1", "name", src.Name)

	w.ObjectMeta = src.ObjectMeta
	w.Spec = WidgetSpec{Size: fmt.Sprintf("%dx%d", src.Spec.Width, src.Spec.Height), Color: src.Spec.Color}
	w.Status.Conditions = src.Status.Conditions
	return nil
}

func parseSize(size string) (width, height int32, err error) {
	w, h, found := strings.Cut(size, "x")
	if !found {
		return 0, 0, fmt.Errorf("spec.size %q: want WIDTHxHEIGHT", size)
	}
	var sides [2]int32
	for i, side := range []string{w, h} {
		n, err := strconv.ParseInt(side, 10, 32)
		if err != nil {
			return 0, 0, fmt.Errorf("spec.size %q: %w", size, err)
		}
		sides[i] = int32(n)
	}
	return sides[0], sides[1], nil
}
