package evidence

import (
	"context"
	"testing"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Hundreds of pods may have written a place: which of them came later is asked as long as
// somebody waits for it.
func TestWhoWroteLaterIsAskedAsLongAsThereIsTime(t *testing.T) {
	w := Writers{all: make([]writer, 300)}
	for i := range w.all {
		w.all[i].UID = "another"
	}
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	no := w.Overwritten(ctx, &provenance.Statement{}, func(string, string) bool {
		if asked++; asked == 7 {
			cancel()
		}
		return true
	})
	if no == nil || no.Code != reason.LookupFailed || asked != 7 {
		t.Errorf("%d were asked about: %v", asked, no)
	}
	if no := w.Overwritten(t.Context(), &provenance.Statement{}, func(string, string) bool { return true }); no != nil {
		t.Errorf("in time: %v", no)
	}
}
