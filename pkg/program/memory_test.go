package program

import "testing"

func TestTheMemoryLimitIsTheContainers(t *testing.T) {
	for text, want := range map[string]int64{"536870912\n": 429496728, "max\n": 0, "": 0, "-1": 0, "0": 0, "99999999999999999999": 0} {
		got, ok := memoryLimit(text)
		if got != want || ok != (want != 0) {
			t.Errorf("%q gives %d, %t, want %d", text, got, ok, want)
		}
	}
}
