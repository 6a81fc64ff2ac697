package notary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
)

// log records the stored envelope and gives back the verified bundle with its
// statement. Only here does a stored envelope become something to believe.
func (t *task) log(ctx context.Context) ([]byte, *provenance.Statement, error) {
	defer t.took(stageLog, t.Clock.Now())
	bundle, err := t.logged(ctx)
	if errors.Is(err, seal.ErrDuplicate) || errors.Is(err, seal.ErrForeignEnvelope) {
		if err := t.signAgain(ctx, err); err != nil {
			return nil, nil, err
		}
		bundle, err = t.logged(ctx)
	}
	if err != nil {
		return nil, nil, lateError{fmt.Errorf("recording in the log: %w", err)}
	}
	st, err := t.keys.Root.Verify(bundle)
	if err != nil {
		return nil, nil, lateError{fmt.Errorf("verifying the log's answer: %w", err)}
	}
	if st.Step.Pod.UID != t.record.Name || st.Step.Namespace != t.record.Namespace {
		return nil, nil, reason.New(reason.StatementInvalid, "the stored envelope is about pod %s in namespace %s", st.Step.Pod.UID, st.Step.Namespace)
	}
	return bundle, st, nil
}

func (t *task) logged(ctx context.Context) ([]byte, error) {
	return t.keys.Sealer.Record(ctx, []byte(t.record.Status.Envelope))
}

// signAgain replaces the stored envelope. If the log has it already, and its
// proof was lost on the way, the same statement is signed anew. If it is not
// under our key, the key was replaced or somebody else wrote the envelope: then
// only the pod can say what is true.
func (t *task) signAgain(ctx context.Context, why error) error {
	if errors.Is(why, seal.ErrForeignEnvelope) {
		return t.state(ctx)
	}
	payload, err := payloadOf([]byte(t.record.Status.Envelope))
	if err != nil {
		return err
	}
	return t.signAndStore(ctx, payload)
}

func payloadOf(envelope []byte) ([]byte, error) {
	var e dsse.Envelope
	if err := json.Unmarshal(envelope, &e); err != nil {
		return nil, fmt.Errorf("reading the stored envelope: %w", err)
	}
	payload, err := e.DecodeB64Payload()
	if err != nil {
		return nil, fmt.Errorf("reading the stored envelope: %w", err)
	}
	return payload, nil
}
