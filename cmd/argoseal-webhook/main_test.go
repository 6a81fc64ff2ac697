package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/reason"
)

func TestMemoryIsLimited(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for _, c := range []struct {
		limit, own string
		want       int64
	}{
		{"536870912", "", 483183819}, {"", "", before}, {"512Mi", "", before}, {"-1", "", before}, {"536870912", "1GiB", before},
	} {
		debug.SetMemoryLimit(before)
		if c.own != "" {
			t.Setenv("GOMEMLIMIT", c.own)
		}
		limitMemory(c.limit)
		if got := debug.SetMemoryLimit(-1); got/10 != c.want/10 {
			t.Errorf("%q, GOMEMLIMIT %q: got %d, want %d", c.limit, c.own, got, c.want)
		}
	}
}

func TestGarbageHasRoomAndIsBounded(t *testing.T) {
	for kept, want := range map[uint64]uint64{
		0: 400, 4 << 20: 400, 16 << 20: 400, 32 << 20: 200, 64 << 20: 100, 128 << 20: 50, 1 << 30: 50,
	} {
		if got := garbagePercent(kept); got != want {
			t.Errorf("with %d bytes kept: %d %%, want %d", kept, got, want)
		}
	}
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	large := make([]byte, 100<<20)
	runtime.GC()
	adjustGarbage()
	runtime.KeepAlive(large)
	now := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(now)
	if got := now[0].Value.Uint64(); got < 50 || got > 64 {
		t.Errorf("with 100 MiB kept: %d %%", got)
	}
}

func TestAnOperatorsGOGCStays(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(77))
	t.Setenv("GOGC", "77")
	limitGarbage()
	if got := debug.SetGCPercent(77); got != 77 {
		t.Errorf("it is %d", got)
	}
}

func TestProfilesAreServedOnLoopbackAlone(t *testing.T) {
	for address, good := range map[string]bool{
		"": true, "127.0.0.1:6060": true, "[::1]:6060": true,
		":6060": false, "0.0.0.0:6060": false, "10.0.0.1:6060": false, "localhost.example.com:6060": false, "127.0.0.1": false,
	} {
		o := options{
			namespace: "n", signerImage: "registry.test/argoseal-signer@sha256:" + strings.Repeat("a", 64), controllers: []string{"a/b"}, executorImages: []string{"i"},
			service: "s", workers: 1, replicas: 1, maxInFlight: 1, timeout: longestTimeout, port: 1, pprofAddress: address,
		}
		if err := o.check(); good != (err == nil) || !good && reason.Of(err) != reason.UsageInvalid {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestStoresWithoutTLSAreHosts(t *testing.T) {
	for store, good := range map[string]bool{"s3.storage.svc:9000": true, "minio": true, "": false, "http://minio": false, "Minio": false, "a b": false} {
		o := options{controllers: []string{"a/b"}, executorImages: []string{"i"}, plainStores: []string{store}}
		id, err := o.identity()
		if good != (err == nil) || good && len(id.PlainStores) != 1 || !good && reason.Of(err) != reason.UsageInvalid {
			t.Errorf("%q: %q, %v", store, id.PlainStores, err)
		}
	}
}
