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

// Bounds of the nodes of a status. A node takes about 1 KiB.
const (
	// MaxUncompressed bounds those in compressed form, in bytes of JSON, and maxNode one of
	// them. Some KiB of a Workflow may unpack to as much.
	MaxUncompressed = 32 << 20
	maxNode         = 1 << 20
	// MaxNodes bounds their number: what one takes in memory is many times as much as the
	// shortest text of one.
	MaxNodes = 64 << 10
)

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
		Artifacts counted `json:"artifacts"`
	} `json:"outputs"`
}

func (n *node) as(id string) Node {
	read := Node{ID: id, Name: n.Name, Type: n.Type, Phase: n.Phase, Template: n.TemplateName}
	if n.TemplateRef != nil && read.Template == "" {
		read.Template = n.TemplateRef.Template
	}
	read.Memoized = n.Memo != nil && n.Memo.Hit
	read.Daemon = n.Daemoned != nil && *n.Daemoned
	if n.Outputs != nil {
		read.Artifacts = int(n.Outputs.Artifacts)
	}
	return read
}

// counted counts the elements of a list, and keeps none: each would take ten times as
// much in memory as it may in the text.
type counted int

// UnmarshalJSON implements json.Unmarshaler.
func (c *counted) UnmarshalJSON(text []byte) error {
	*c = 0
	d := json.NewDecoder(bytes.NewReader(text))
	switch t, err := d.Token(); {
	case err != nil:
		return err
	case t == nil: // null
		return nil
	case t != json.Delim('['):
		return errors.New("artifacts that are no list")
	}
	var skipped json.RawMessage
	for d.More() {
		if err := d.Decode(&skipped); err != nil {
			return err
		}
		*c++
	}
	return nil
}

// list is a JSON object of nodes by their ids, read one by one.
type list []Node

// UnmarshalJSON implements json.Unmarshaler. What there is of the text is in memory anyway.
func (l *list) UnmarshalJSON(text []byte) error {
	return l.read(json.NewDecoder(bytes.NewReader(text)), func() {})
}

// read reads them; next is called before each. Of two with one id the last counts.
func (l *list) read(from *json.Decoder, next func()) error {
	*l = nil
	next()
	switch t, err := from.Token(); {
	case err != nil:
		return err
	case t == nil: // null
		return nil
	case t != json.Delim('{'):
		return errors.New("nodes that are no object")
	}
	at := map[string]int{}
	for from.More() {
		next()
		key, err := from.Token()
		if err != nil {
			return err
		}
		var n node
		if err := from.Decode(&n); err != nil {
			return err
		}
		id, _ := key.(string)
		if known, twice := at[id]; twice {
			(*l)[known] = n.as(id)
			continue
		}
		if len(*l) == MaxNodes {
			return fmt.Errorf("there are more than %d", MaxNodes)
		}
		at[id] = len(*l)
		*l = append(*l, n.as(id))
	}
	_, err := from.Token()
	return err
}

type status struct {
	Phase      string `json:"phase"`
	Nodes      list   `json:"nodes"`
	Compressed string `json:"compressedNodes"`
	Offloaded  string `json:"offloadNodeStatusVersion"`
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
	out.Nodes = append([]Node{}, s.Nodes...)
	slices.SortFunc(out.Nodes, func(a, b Node) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return out
}

// decompress reads nodes as Argo compresses them: base64 of gzip of JSON. No more than
// one of them is unpacked at a time.
func decompress(s string) (list, error) {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, err
	}
	zipped, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	text := &paced{from: zipped, left: MaxUncompressed}
	from := json.NewDecoder(text)
	var nodes list
	if err := nodes.read(from, func() { text.now = maxNode }); err != nil {
		return nil, err
	}
	switch _, err := from.Token(); {
	case err == nil:
		return nil, errors.New("something else comes after them")
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	return nodes, nil
}

// paced reads so much in all, and so much until it is told that it may go on. A decoder has
// all of one value in memory.
type paced struct {
	from      io.Reader
	left, now int
}

// Read implements io.Reader.
func (p *paced) Read(b []byte) (int, error) {
	most := min(len(b), p.left, p.now)
	if most <= 0 && len(b) > 0 {
		// It may be at its end.
		if n, err := p.from.Read(make([]byte, 1)); n == 0 && err != nil {
			return 0, err
		}
		return 0, fmt.Errorf("they are larger than %d bytes, or one is larger than %d", MaxUncompressed, maxNode)
	}
	n, err := p.from.Read(b[:most])
	p.left, p.now = p.left-n, p.now-n
	return n, err
}
