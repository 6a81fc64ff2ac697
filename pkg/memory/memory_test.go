package memory

import "testing"

func TestItIsBoundedInBytes(t *testing.T) {
	m := New[int, string](30)
	for i := range 10 {
		m.Add(i, "x", 10)
	}
	if n, bytes := m.Len(); n != 3 || bytes != 30 {
		t.Errorf("it knows %d of %d bytes, want 3 of 30", n, bytes)
	}
	if _, ok := m.Get(6); ok {
		t.Error("the oldest is known still")
	}
	if v, ok := m.Get(7); !ok || v != "x" {
		t.Error("a young one is not known")
	}
	m.Add(10, "y", 10) // 8 is the oldest now: 7 was asked for
	if _, ok := m.Get(8); ok {
		t.Error("what was not asked for longest is known still")
	}
	m.Add(10, "z", 5)
	if n, bytes := m.Len(); n != 3 || bytes != 25 {
		t.Errorf("after one was replaced it knows %d of %d bytes, want 3 of 25", n, bytes)
	}
	m.Add(11, "large", 31)
	if n, bytes := m.Len(); n != 0 || bytes != 0 {
		t.Errorf("what is too large for it leaves %d of %d bytes", n, bytes)
	}
	m.Add(1, "x", 1)
	m.Forget(1)
	m.Forget(2)
	if _, ok := m.Get(1); ok {
		t.Error("what was to be forgotten is known")
	}
	if n, bytes := m.Len(); n != 0 || bytes != 0 {
		t.Errorf("what was forgotten leaves %d of %d bytes", n, bytes)
	}
}

func TestTheZeroValueRemembersNothing(t *testing.T) {
	var m Memory[int, int]
	m.Add(1, 1, 1)
	if _, ok := m.Get(1); ok {
		t.Error("it remembers")
	}
}
