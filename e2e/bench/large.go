package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

const (
	largeLabelled   = "bench-large-labelled"
	largeUnlabelled = "bench-large-unlabelled"
	// later is by how much a step that writes a large artifact may end later.
	later = 1.05
	// room is the memory that the sidecar may use for any size, in MiB.
	room = 32.0
	// slowestLarge is how long the largest may take.
	slowestLarge = 20 * time.Minute
	// copies of an artifact are on the disk at once: in the step, staged, in the
	// store, and a little for everything else.
	copies = 3.5
)

// heavy writes so many bytes that do not compress, which is the most work for
// everybody but the compressor.
const heavy = `
metadata: {generateName: heavy-}
spec:
  entrypoint: produce
  templates:
  - name: produce
    container:
      image: busybox
      command: [sh, -c]
      args: ["head -c %d /dev/urandom > /data"]
    outputs:
      artifacts:
      - name: data
        path: /data
        s3: {key: "bench/{{pod.name}}"}
`

// large measures by how much later a step with an artifact of 1 GiB ends, and the
// memory that the sidecar had.
func large(ctx context.Context, b *bench) ([]result, error) {
	return b.heavy(ctx, 1, max(1, b.runs/2))
}

// huge is the same for 10 GiB.
func huge(ctx context.Context, b *bench) ([]result, error) {
	return b.heavy(ctx, 10, max(1, b.runs/5))
}

func (b *bench) heavy(ctx context.Context, gib int64, runs int) ([]result, error) {
	if err := b.enoughDisk(gib); err != nil {
		return nil, err
	}
	wf, err := lab.Workflow(fmt.Sprintf(heavy, gib<<30))
	if err != nil {
		return nil, err
	}
	end, err := b.namespaces(ctx, map[string]v1alpha1.Mode{largeLabelled: v1alpha1.ModeEnforce, largeUnlabelled: ""})
	if err != nil {
		return nil, err
	}
	defer end()
	// Each pair begins with the other one, so that neither always finds the disk
	// as the other has left it.
	var with, without, memory []float64
	for i := range runs {
		var pair [2]float64
		for j := range pair {
			labelled := (i+j)%2 == 0
			ns := largeUnlabelled
			if labelled {
				ns = largeLabelled
			}
			took, peak, err := b.step(ctx, ns, wf)
			if err != nil {
				return nil, err
			}
			if labelled {
				with, memory, pair[0] = append(with, took.Seconds()), append(memory, peak), took.Seconds()
			} else {
				without, pair[1] = append(without, took.Seconds()), took.Seconds()
			}
		}
		b.sayf("%d GiB, run %d of %d: %.1f s with us, %.1f s without; the sidecar had %.1f MiB", gib, i+1, runs, pair[0], pair[1], memory[i])
	}
	took := newResult(fmt.Sprintf("step with an artifact of %d GiB", gib), "s", with, without)
	used := newResult(fmt.Sprintf("sidecar's memory for %d GiB", gib), "MiB", memory, nil)
	return []result{
		took.hold(*took.Ratio <= later, "at most %.0f %% later", (later-1)*100),
		used.hold(slices.Min(memory) > 0 && slices.Max(memory) <= room, "at most %.0f MiB in every run", room),
	}, nil
}

// step runs a workflow and takes its artifact away. It gives the wall time and
// the most memory, in MiB, that a sidecar had meanwhile.
func (b *bench) step(ctx context.Context, ns string, wf *unstructured.Unstructured) (time.Duration, float64, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// A run that was cut off leaves its artifact.
	if err := b.discard(ctx); err != nil {
		return 0, 0, err
	}
	// What the step before wrote would else be written back during this one; only
	// where it was looked at after it there was time for that.
	unix.Sync()
	peak := make(chan float64, 1)
	watching, enough := context.WithCancel(ctx)
	defer enough()
	go func() { peak <- peakOfSidecars(watching) }()
	took, err := b.timedWithin(ctx, ns, wf, slowestLarge)
	enough()
	most := <-peak
	if err != nil {
		return 0, 0, err
	}
	keys, err := b.stored(ctx)
	if err == nil && len(keys) != 1 {
		err = fmt.Errorf("the step stored %d objects, want one: %q", len(keys), keys)
	}
	if err == nil && ns == largeLabelled {
		// A sidecar that gives up is quick.
		err = b.isSealed(ctx, ns, keys[0])
	}
	if err != nil {
		return 0, 0, err
	}
	return took, most, errors.Join(b.discard(ctx), b.lab.DeletePods(ctx, ns))
}

// discard removes what lies where heavy puts it.
func (b *bench) discard(ctx context.Context) error {
	keys, err := b.stored(ctx)
	for _, key := range keys {
		err = errors.Join(err, b.lab.S3.RemoveObject(ctx, part.S3Bucket, key, minio.RemoveObjectOptions{}))
	}
	return err
}

// stored lists what lies where heavy puts it.
func (b *bench) stored(ctx context.Context) ([]string, error) {
	var keys []string
	for o := range b.lab.S3.ListObjects(ctx, part.S3Bucket, minio.ListObjectsOptions{Prefix: "bench/", Recursive: true}) {
		if o.Err != nil {
			return nil, o.Err
		}
		keys = append(keys, o.Key)
	}
	return keys, nil
}

// isSealed wants an object to have a seal that verifies, by the bytes in the store.
func (b *bench) isSealed(ctx context.Context, ns, key string) error {
	var seal *v1alpha1.ArtifactSeal
	err := lab.Eventually(ctx, slowest, func(ctx context.Context) (bool, error) {
		var list v1alpha1.ArtifactSealList
		err := b.lab.List(ctx, ns, &list)
		for i := range list.Items {
			if list.Items[i].Spec.Location.Key == key {
				seal = &list.Items[i]
			}
		}
		if err != nil || seal == nil {
			return false, err
		}
		// Seals are written before the record that they rest on is complete.
		_, done, err := b.records(ctx, ns)
		return done, err
	})
	if err != nil {
		return fmt.Errorf("%s is not sealed: %w", key, err)
	}
	if _, err := b.lab.Check(ctx, seal); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// records counts the pods of a namespace that have their seal, and says whether
// none is on its way.
func (b *bench) records(ctx context.Context, ns string) (sealed int, done bool, err error) {
	var list v1alpha1.ProvenanceList
	if err := b.lab.List(ctx, ns, &list); err != nil {
		return 0, false, err
	}
	done = true
	for _, p := range list.Items {
		if meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionSealed) && p.Status.Bundle != "" {
			sealed++
		} else if !meta.IsStatusConditionFalse(p.Status.Conditions, v1alpha1.ConditionSealed) {
			done = false
		}
	}
	return sealed, done, nil
}

// peakOfSidecars looks at the sidecars on this machine until ctx ends, and gives
// the most memory that one of them ever had resident, in MiB: what the kernel
// keeps of it as VmHWM, so a look now and then sees it.
func peakOfSidecars(ctx context.Context) float64 {
	var most float64
	ticker := time.NewTicker(time.Second) // it costs a twentieth of a second
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return most
		case <-ticker.C:
		}
		// None is one that could not be read: it has just ended.
		names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, name := range names {
			line, err := os.ReadFile(name)
			if err != nil || !isSidecar(line) {
				continue
			}
			status, err := os.ReadFile(filepath.Join(filepath.Dir(name), "status"))
			if err == nil {
				most = max(most, residentPeak(status))
			}
		}
	}
}

// isSidecar says whether a command line is that of argoseal-signer sign.
func isSidecar(line []byte) bool {
	words := bytes.Split(line, []byte{0})
	return len(words) > 1 && filepath.Base(string(words[0])) == "argoseal-signer" && string(words[1]) == "sign"
}

// residentPeak reads VmHWM of a process's status file, in MiB; 0 if it has none.
func residentPeak(status []byte) float64 {
	for line := range bytes.Lines(status) {
		fields := bytes.Fields(line)
		if len(fields) == 3 && string(fields[0]) == "VmHWM:" {
			kib, err := strconv.ParseFloat(string(fields[1]), 64)
			if err == nil {
				return kib / 1024
			}
		}
	}
	return 0
}

// enoughDisk refuses what would fill the disk.
func (b *bench) enoughDisk(gib int64) error {
	free, err := freeGiB("/var/lib")
	if err != nil {
		return err
	}
	if need := float64(gib) * copies; free < need {
		return fmt.Errorf("an artifact of %d GiB needs %.0f GiB of disk, %.0f are free: leave it out with -only", gib, need, free)
	}
	return nil
}

// freeGiB is how much room there is where a folder is.
func freeGiB(dir string) (float64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("free space at %s: %w", dir, err)
	}
	return float64(fs.Bavail) * float64(fs.Bsize) / (1 << 30), nil
}

const (
	crowded = "bench-crowded"
	// atOnce is how many producers start at once.
	atOnce = 40
)

// producers is a workflow of as many producers at once.
const producers = `
metadata: {generateName: crowd-}
spec:
  entrypoint: all
  templates:
  - name: all
    steps:
    - - {name: one, template: produce, withSequence: {count: "%d"}}
  - name: produce
    container:
      image: busybox
      command: [sh, -c]
      args: ["echo hello > /tmp/message"]
    outputs:
      artifacts:
      - {name: message, path: /tmp/message}
`

// burst counts the seals of many producers that start at once.
func burst(ctx context.Context, b *bench) ([]result, error) {
	wf, err := lab.Workflow(fmt.Sprintf(producers, atOnce))
	if err != nil {
		return nil, err
	}
	end, err := b.namespaces(ctx, map[string]v1alpha1.Mode{crowded: v1alpha1.ModeEnforce, crowded + "-plain": ""})
	if err != nil {
		return nil, err
	}
	defer end()
	on, err := b.timedWithin(ctx, crowded, wf, slowestLarge)
	if err != nil {
		return nil, err
	}
	sealed := 0
	err = lab.Eventually(ctx, time.Minute, func(ctx context.Context) (bool, error) {
		var err error
		sealed, _, err = b.records(ctx, crowded)
		return sealed == atOnce, err
	})
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	off, err := b.timedWithin(ctx, crowded+"-plain", wf, slowestLarge)
	if err != nil {
		return nil, err
	}
	verified, err := b.verified(ctx, crowded)
	if err != nil {
		return nil, err
	}
	count := newResult(fmt.Sprintf("sealed of %d that start at once", atOnce), "", []float64{float64(sealed)}, nil)
	took := newResult(fmt.Sprintf("wall time of %d producers at once", atOnce), "s", []float64{on.Seconds()}, []float64{off.Seconds()})
	return []result{count.hold(sealed == atOnce && verified == atOnce, "all %d, and all verify", atOnce), took}, nil
}

// verified counts the seals of a namespace, each of which has to verify by the bytes
// in the store.
func (b *bench) verified(ctx context.Context, ns string) (int, error) {
	var list v1alpha1.ArtifactSealList
	if err := b.lab.List(ctx, ns, &list); err != nil {
		return 0, err
	}
	for i := range list.Items {
		if _, err := b.lab.Check(ctx, &list.Items[i]); err != nil {
			return 0, fmt.Errorf("%s: %w", list.Items[i].Spec.Location.Key, err)
		}
	}
	return len(list.Items), nil
}
