package nodes

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Types of nodes that matter here (Argo's NodeType), and phases.
const (
	TypePod        = "Pod"
	TypeSkipped    = "Skipped"
	PhaseSucceeded = "Succeeded"
	PhaseFailed    = "Failed"
	PhaseError     = "Error"
	phaseOmit      = "Omitted"
	phaseSkip      = "Skipped"
)

// MaxUncompressed bounds the nodes that a status has in compressed form, in bytes
// of JSON. A node takes about 1 KiB.
const MaxUncompressed = 32 << 20

// Errors of Status.Err.
var (
	// ErrOffloaded says that the nodes are in Argo's database.
	ErrOffloaded = errors.New("argo keeps the nodes in its database (nodeStatusOffLoad), which is not read")
	// ErrInvalid says that they cannot be read.
	ErrInvalid = errors.New("the status of the nodes cannot be read")
)

// Status is a Workflow's status.
type Status struct {
	// Phase is Argo's word for the workflow; empty before it began.
	Phase string
	// Ended says that it has an end.
	Ended bool
	// Nodes, in the order of their names; nil if they cannot be read.
	Nodes []Node
	// Err says why not: it is ErrOffloaded or ErrInvalid, or nil.
	Err error
}

// Node is one node.
type Node struct {
	ID       string
	Name     string
	Type     string
	Phase    string
	Template string
	// Memoized says that Argo took its outputs from an earlier run.
	Memoized bool
	// Daemon says that Argo goes on while its pod runs.
	Daemon bool
	// Artifacts is how many output artifacts it says to have.
	Artifacts int
}

// Pod says whether a node runs a pod, or would have.
func (n Node) Pod() bool { return n.Type == TypePod || (n.Type == TypeSkipped && n.Template != "") }

// Skipped says that Argo skipped or omitted the node.
func (n Node) Skipped() bool {
	return n.Type == TypeSkipped || n.Phase == phaseOmit || n.Phase == phaseSkip
}

// Failed says that it ended otherwise than well.
func (n Node) Failed() bool { return n.Phase == PhaseFailed || n.Phase == PhaseError }

// Ended says that it has an end.
func (n Node) Ended() bool { return n.Failed() || n.Skipped() || n.Phase == PhaseSucceeded }

// Ended says whether a phase is that of a workflow which has ended. A guard keeps
// tenants from writing such a phase. It guards no other field of the status that
// says so.
func Ended(phase string) bool {
	return phase == PhaseSucceeded || phase == PhaseFailed || phase == PhaseError
}

type node struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	Type         string `json:"type"`
	Phase        string `json:"phase"`
	TemplateName string `json:"templateName"`
	TemplateRef  *struct {
		Template string `json:"template"`
	} `json:"templateRef"`
	Daemoned *bool `json:"daemoned"`
	Memo     *struct {
		Hit bool `json:"hit"`
	} `json:"memoizationStatus"`
	Outputs *struct {
		Artifacts []json.RawMessage `json:"artifacts"`
	} `json:"outputs"`
}

type status struct {
	Phase      string          `json:"phase"`
	Nodes      map[string]node `json:"nodes"`
	Compressed string          `json:"compressedNodes"`
	Offloaded  string          `json:"offloadNodeStatusVersion"`
}

// Read reads a Workflow's status (JSON).
func Read(raw []byte) Status {
	var s status
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &s); err != nil {
			return Status{Err: fmt.Errorf("%w: %w", ErrInvalid, err)}
		}
	}
	out := Status{Phase: s.Phase, Ended: Ended(s.Phase)}
	switch {
	case s.Offloaded != "":
		out.Err = ErrOffloaded
		return out
	case s.Compressed != "" && len(s.Nodes) == 0:
		nodes, err := decompress(s.Compressed)
		if err != nil {
			out.Err = fmt.Errorf("%w: %w", ErrInvalid, err)
			return out
		}
		s.Nodes = nodes
	}
	out.Nodes = make([]Node, 0, len(s.Nodes))
	for id, n := range s.Nodes {
		read := Node{ID: id, Name: n.Name, Type: n.Type, Phase: n.Phase, Template: n.TemplateName}
		if n.TemplateRef != nil && read.Template == "" {
			read.Template = n.TemplateRef.Template
		}
		read.Memoized = n.Memo != nil && n.Memo.Hit
		read.Daemon = n.Daemoned != nil && *n.Daemoned
		if n.Outputs != nil {
			read.Artifacts = len(n.Outputs.Artifacts)
		}
		out.Nodes = append(out.Nodes, read)
	}
	slices.SortFunc(out.Nodes, func(a, b Node) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return out
}

// decompress reads nodes as Argo compresses them: base64 of gzip of JSON.
func decompress(s string) (map[string]node, error) {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, err
	}
	zipped, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(zipped, MaxUncompressed+1))
	if err != nil {
		return nil, err
	}
	if len(text) > MaxUncompressed {
		return nil, fmt.Errorf("they are larger than %d bytes", MaxUncompressed)
	}
	var nodes map[string]node
	if err := json.Unmarshal(text, &nodes); err != nil {
		return nil, err
	}
	return nodes, nil
}
