package notary

import (
	"fmt"
	"testing"

	"github.com/argoseal/argoseal/pkg/reason"
)

// What a key service does not do passes; what is wrong with a statement does not.
func TestAKeyServiceThatFailsIsNoLastWord(t *testing.T) {
	for code, last := range map[reason.Code]bool{reason.KeyServiceFailed: false, reason.StatementInvalid: true} {
		if got := refusal(fmt.Errorf("signing: %w", reason.New(code, "x"))); (got != nil) != last {
			t.Errorf("%s: the last word is %v", code, got)
		}
	}
}
