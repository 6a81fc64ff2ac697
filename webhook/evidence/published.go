package evidence

import (
	"context"
	"errors"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/verify"
)

// maxPublished is how many statements of others are read for one evaluation.
const maxPublished = 256

// found is a verified statement of others, or why there is none.
type found[F any] struct {
	facts *F
	key   string
	why   *reason.Error
}

// published is a kind of statement that others put beside seals, each in an object whose
// name says who: anybody may write it, so that nothing but its bundle counts.
type published[F any] struct {
	// kind of the object, and the code that says that there is none.
	kind    string
	missing reason.Code
	// none says what there is none of, if there is none.
	none string
	// most is the size of the largest bundle, in bytes.
	most int
	// get gives the bundle; false: there is no such object.
	get func(ctx context.Context, namespace, name string) (string, bool, error)
	// may refuses a signer that is not trusted about this.
	may   func(*verify.Signed) error
	parse func(payload []byte) (*F, error)
	// read are those that were read.
	read map[string]found[F]
}

// readPublished reads and verifies what a domain has signed, at most once in an evaluation.
func readPublished[F any](ctx context.Context, v *View, of published[F], namespace, name, domain string) (found[F], *reason.Error) {
	key := recordKey(namespace, name)
	if known, ok := of.read[key]; ok {
		return known, nil
	}
	if v.trust.Root == nil {
		return found[F]{}, reason.New(reason.TrustedRootNotReady, "no %s can be verified", of.kind)
	}
	if v.published >= maxPublished {
		return found[F]{}, reason.New(reason.UnsupportedPod, "policies ask for what others have signed about its inputs, and that would take more than %d reads", maxPublished).Advise("Make it several steps")
	}
	bundle, there, err := of.get(ctx, namespace, name)
	if err != nil {
		return found[F]{}, lookupFailed(of.kind+" "+name, err)
	}
	v.published++
	is := found[F]{why: reason.New(of.missing, "it has published none%s", of.none)}
	if there {
		is = of.verify(v.trust.Root, bundle, domain)
	}
	of.read[key] = is
	return is, nil
}

// verify says what a bundle states, if a domain that is trusted about that has signed it.
// When it was made does not count.
func (of published[F]) verify(root Verifier, bundle, domain string) found[F] {
	if len(bundle) > of.most {
		return found[F]{why: reason.New(reason.BundleInvalid, "its %s has more than %d bytes", of.kind, of.most)}
	}
	signed, err := root.Payload([]byte(bundle))
	if err == nil && signed.Domain != domain {
		err = reason.New(reason.BuilderNotTrusted, "it is signed by domain %s", signed.Domain)
	}
	if err == nil {
		err = of.may(signed)
	}
	var facts *F
	if err == nil {
		facts, err = of.parse(signed.Payload)
	}
	if err != nil {
		var no *reason.Error
		if !errors.As(err, &no) {
			no = reason.Wrap(reason.BundleInvalid, err, "%v", err)
		}
		return found[F]{why: no}
	}
	return found[F]{facts: facts, key: signed.KeyHint}
}
