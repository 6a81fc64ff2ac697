package lab

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// Freeze stops the processes of a container (SIGSTOP), as a machine that hangs
// would, and returns what lets them go on, once. It works because the cluster's node
// is this machine. The processes are held by descriptors, so that no signal
// reaches another process which got the same id.
func Freeze(pod *corev1.Pod, container string) (thaw func(), err error) {
	id, err := containerID(pod, container)
	if err != nil {
		return nil, err
	}
	held, err := processes(id)
	if err != nil {
		return nil, err
	}
	// Once: a number that was closed soon is some other file's.
	thaw = sync.OnceFunc(func() {
		for _, fd := range held {
			_ = unix.PidfdSendSignal(fd, unix.SIGCONT, nil, 0) // it may have ended
			_ = unix.Close(fd)
		}
	})
	if len(held) == 0 {
		return nil, fmt.Errorf("container %s of pod %s has no process on this machine", container, pod.Name)
	}
	for _, fd := range held {
		if err := unix.PidfdSendSignal(fd, unix.SIGSTOP, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			thaw()
			return nil, fmt.Errorf("stop container %s of pod %s: %w", container, pod.Name, err)
		}
	}
	return thaw, nil
}

// Kill ends the processes of a container at once, as the kernel does where there is no
// memory left.
func Kill(pod *corev1.Pod, container string) error {
	id, err := containerID(pod, container)
	if err != nil {
		return err
	}
	held, err := processes(id)
	if err != nil {
		return err
	}
	if len(held) == 0 {
		return fmt.Errorf("container %s of pod %s has no process on this machine", container, pod.Name)
	}
	var errs []error
	for _, fd := range held {
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); !errors.Is(err, unix.ESRCH) {
			errs = append(errs, err)
		}
		_ = unix.Close(fd)
	}
	return errors.Join(errs...)
}

// Network is the network namespace of a container's pod, until it is closed: it is still
// the pod's when the container is another one.
func Network(pod *corev1.Pod, container string) (*os.File, error) {
	id, err := containerID(pod, container)
	if err != nil {
		return nil, err
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		if !inCgroup(dir, id) {
			continue
		}
		file, err := os.Open(filepath.Join(dir, "ns", "net"))
		if err != nil {
			continue // it has ended
		}
		if inCgroup(dir, id) { // still this one
			return file, nil
		}
		_ = file.Close()
	}
	return nil, fmt.Errorf("container %s of pod %s has no process on this machine", container, pod.Name)
}

// containerID is the runtime's id of a running container.
func containerID(pod *corev1.Pod, container string) (string, error) {
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == container && c.State.Running != nil {
			if _, id, ok := strings.Cut(c.ContainerID, "://"); ok && id != "" {
				return id, nil
			}
		}
	}
	return "", fmt.Errorf("container %s of pod %s/%s does not run", container, pod.Namespace, pod.Name)
}

// runs says whether a container has a process on this machine.
func runs(id string) (bool, error) {
	held, err := processes(id)
	for _, fd := range held {
		_ = unix.Close(fd)
	}
	return len(held) > 0, err
}

// processes opens a descriptor for each process of a container: those in a
// cgroup that carries the container's id.
func processes(id string) ([]int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var held []int
	for _, dir := range dirs {
		if !inCgroup(dir, id) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it has ended
		}
		// Now the id cannot go to another process; was it still this one?
		if !inCgroup(dir, id) {
			_ = unix.Close(fd)
			continue
		}
		held = append(held, fd)
	}
	return held, nil
}

func inCgroup(proc, id string) bool {
	raw, err := os.ReadFile(filepath.Join(proc, "cgroup"))
	if err != nil {
		return false
	}
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for lines.Scan() {
		if strings.HasSuffix(lines.Text(), "/"+id) {
			return true
		}
	}
	return false
}
