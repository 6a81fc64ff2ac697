package tag

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/reason"
	fields "github.com/argoseal/argoseal/pkg/version"
)

// content is a tag's content in its one spelling: these fields in this order,
// no white space. The package's comment says how one is added.
type content struct {
	IssuedAt     int64         `json:"issuedAt"`
	Namespace    string        `json:"namespace"`
	NamespaceUID string        `json:"namespaceUID,omitempty" since:"2"`
	Pod          string        `json:"pod"`
	WorkflowUID  string        `json:"workflowUID"`
	Definition   string        `json:"definition,omitempty"`
	Creator      string        `json:"creator"`
	Mode         v1alpha1.Mode `json:"mode"`
	Verdict      reason.Code   `json:"verdict,omitempty"`
	Executor     Executor      `json:"executor"`
	Signer       string        `json:"signer"`
	Logs         bool          `json:"logs,omitempty"`
	Pins         []pin.Pin     `json:"pins,omitempty"`
}

func encode(t Tag) ([]byte, error) {
	c := content{
		IssuedAt: t.IssuedAt.Unix(), Namespace: t.Namespace, NamespaceUID: t.NamespaceUID, Pod: t.Pod, WorkflowUID: t.WorkflowUID,
		Definition: t.Definition, Creator: t.Creator, Mode: t.Mode, Verdict: t.Verdict,
		Executor: t.Executor, Signer: t.Signer, Logs: t.Logs, Pins: t.Pins,
	}
	if err := c.validate(Version); err != nil {
		return nil, err
	}
	return json.Marshal(c)
}

// decode reads what encode wrote in that version: anything it would have written
// otherwise is refused.
func decode(data []byte, version int) (Tag, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var c content
	if err := d.Decode(&c); err != nil {
		return Tag{}, err
	}
	if err := errors.Join(fields.Check(&c, version), c.validate(version)); err != nil {
		return Tag{}, err
	}
	again, err := json.Marshal(c)
	if err != nil {
		return Tag{}, err
	}
	if !bytes.Equal(again, data) {
		return Tag{}, errors.New("not in its one spelling")
	}
	return Tag{
		IssuedAt: time.Unix(c.IssuedAt, 0).UTC(), Namespace: c.Namespace, NamespaceUID: c.NamespaceUID, Pod: c.Pod, WorkflowUID: c.WorkflowUID,
		Definition: c.Definition, Creator: c.Creator, Mode: c.Mode, Verdict: c.Verdict,
		Executor: c.Executor, Signer: c.Signer, Logs: c.Logs, Pins: c.Pins,
	}, nil
}

// validate wants every field that identifies the pod and what it may run: a tag
// about nothing would fit too many.
func (c content) validate(version int) error {
	for _, f := range []struct{ name, value string }{
		{"namespace", c.Namespace},
		{"pod", c.Pod},
		{"workflow UID", c.WorkflowUID},
		{"creator", c.Creator},
		{"executor image", c.Executor.Image},
		{"signer image", c.Signer},
	} {
		if f.value == "" {
			return fmt.Errorf("%s is empty", f.name)
		}
	}
	if version >= 2 && c.NamespaceUID == "" {
		return errors.New("namespace UID is empty")
	}
	switch c.Mode {
	case v1alpha1.ModeEnforce, v1alpha1.ModeWarn, v1alpha1.ModeAudit:
	default:
		return fmt.Errorf("mode %.20q is none", c.Mode)
	}
	if c.IssuedAt <= 0 {
		return errors.New("issue time is not set")
	}
	for _, p := range c.Pins {
		if err := p.Validate(); err != nil {
			return err
		}
	}
	return nil
}
