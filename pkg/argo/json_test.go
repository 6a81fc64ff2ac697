package argo

import "testing"

func TestKeysGivenTwice(t *testing.T) {
	tests := map[string]struct {
		json   string
		unique bool
	}{
		"none":                           {`{}`, true},
		"different ones":                 {`{"a":1,"b":{"a":[{"a":1},{"a":"a"}]},"c":["a","a"]}`, true},
		"a value like a key":             {`{"a":"b","b":"a"}`, true},
		"the same twice":                 {`{"a":1,"a":1}`, false},
		"the same after an object":       {`{"a":{},"b":[],"a":1}`, false},
		"the same after an array":        {`{"b":[{}],"b":1}`, false},
		"the same in an array's object":  {`[[{"a":1,"a":2}]]`, false},
		"in another case":                {`{"name":1,"NAME":1}`, false},
		"in a case Unicode folds":        {`{"s":1,"\u017f":1}`, false},
		"escaped":                        {`{"a":1,"\u0061":1}`, false},
		"the same in objects apart":      {`[{"a":1},{"a":1}]`, true},
		"deep inside":                    {`{"a":{"b":{"c":{"d":[0,{"e":null,"e":null}]}}}}`, false},
		"null and numbers between":       {`{"a":null,"b":1.5,"c":true,"a":0}`, false},
		"the empty key":                  {`{"":1,"":2}`, false},
		"what only looks like a closing": {`{"a":"}","b":"]","a":"{"}`, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if err := uniqueKeys([]byte(test.json)); (err == nil) != test.unique {
				t.Errorf("uniqueKeys says %v", err)
			}
		})
	}
}

func TestExpansionIsTheKubelets(t *testing.T) {
	known := func(name string) bool { return name == "KNOWN" }
	tests := map[string]struct{ in, want, reference string }{
		"no reference":               {"a b", "a b", ""},
		"a dollar":                   {"$a $ $", "$a $ $", ""},
		"two dollars":                {"$$ $$a", "$ $a", ""},
		"an unknown name":            {"$(date) $(x y)", "$(date) $(x y)", ""},
		"a known name":               {"a $(KNOWN)", "", "KNOWN"},
		"an escaped known name":      {"$$(KNOWN)", "$(KNOWN)", ""},
		"a known name after escapes": {"$$$(KNOWN)", "", "KNOWN"},
		"an open reference":          {"$(KNOWN", "$(KNOWN", ""},
		"a reference in another":     {"$(a $(KNOWN))", "$(a $(KNOWN))", ""},
		"the empty name":             {"$()", "$()", ""},
		"a service's address":        {"$(A_SERVICE_HOST)", "", "A_SERVICE_HOST"},
		"a service's port by name":   {"$(A_B_SERVICE_PORT_HTTP)", "", "A_B_SERVICE_PORT_HTTP"},
		"a service's link":           {"$(1A_PORT_80_TCP_ADDR)", "", "1A_PORT_80_TCP_ADDR"},
		"the API server":             {"$(KUBERNETES_SERVICE_HOST)", "", "KUBERNETES_SERVICE_HOST"},
		"a name like a service's":    {"$(a_PORT)", "$(a_PORT)", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, reference := expand(test.in, known)
			if got != test.want || reference != test.reference {
				t.Errorf("expand gives %q, %q; want %q, %q", got, reference, test.want, test.reference)
			}
		})
	}
}

func TestNamesAreArgos(t *testing.T) {
	// From running util.GeneratePodName and Workflow.NodeID of v3.7.18.
	if got := nodeID("wf", "wf"); got != "wf" {
		t.Errorf("id of the entry node is %q", got)
	}
	if got := nodeID("artifact-passing", "artifact-passing[1].consume-artifact"); got != "artifact-passing-3955987017" {
		t.Errorf("node id is %q", got)
	}
	if got := podName("wf", "wf", "main"); got != "wf" {
		t.Errorf("name of the entry node's pod is %q", got)
	}
	if got := podName("wf", "wf[0].a", ""); got != "wf-"+got[3:] || len(got) < 5 {
		t.Errorf("name without a template is %q", got)
	}
	long := string(make([]byte, 300))
	if got := podName(long, "x", "t"); len(got) != 242+1+len("4245442695") || got[:242] != long[:242] {
		t.Errorf("a long name has %d bytes", len(got))
	}
}
