package gobuild

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Build puts the programs of all recipes into the cache, one recipe after
// the other: each one keeps every core busy by itself. What is there already
// costs a few stat calls.
func (c Cache) Build(ctx context.Context, p *Progress, recipes ...Recipe) error {
	var missing []Recipe
	for _, r := range recipes {
		if err := r.validate(); err != nil {
			return err
		}
		if !c.Built(r) {
			missing = append(missing, r)
		}
	}
	for i, r := range missing {
		p.Start(fmt.Sprintf("[%d/%d] build %s %s", i+1, len(missing), r.Name, r.Version))
		if err := c.build(ctx, p, r); err != nil {
			p.Fail()
			return fmt.Errorf("build %s %s: %w", r.Name, r.Version, err)
		}
		p.Done()
	}
	return nil
}

// build builds one recipe under its lock.
func (c Cache) build(ctx context.Context, p *Progress, r Recipe) error {
	unlock, err := c.lock(ctx, r, func() { p.Note("another process is building it, waiting") })
	if err != nil {
		return err
	}
	defer unlock()
	if c.Built(r) {
		return nil // by whoever held the lock before
	}
	p.Note("download")
	dir, err := r.ModuleDir(ctx)
	if err != nil {
		return err
	}
	work := c.workDir(r)
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	defer os.RemoveAll(work)
	src, out := filepath.Join(work, "src"), filepath.Join(work, "bin")
	if err := copyTree(ctx, src, dir); err != nil {
		return fmt.Errorf("copy module: %w", err)
	}
	if err := r.tweak(ctx, src); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, t := range r.Targets {
		if err := r.compile(ctx, p, src, filepath.Join(out, t.Name), t); err != nil {
			return err
		}
	}
	return install(out, c.BinDir(r))
}

// tweak makes a module's archive buildable on its own; see [Recipe].
func (r Recipe) tweak(ctx context.Context, src string) error {
	for _, name := range r.Remove {
		if err := os.RemoveAll(filepath.Join(src, name)); err != nil {
			return err
		}
	}
	for from, to := range r.Copy {
		if err := copyFile(filepath.Join(src, to), filepath.Join(src, from)); err != nil {
			return fmt.Errorf("tweak: %w", err)
		}
	}
	for name, content := range r.Write {
		name = filepath.Join(src, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			return err
		}
	}
	args := []string{"mod", "edit"}
	for _, m := range r.DropReplace {
		args = append(args, "-dropreplace="+m)
	}
	for _, m := range r.Require {
		args = append(args, "-require="+m)
	}
	if len(args) > 2 {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir, cmd.Env = src, goEnv()
		if msg, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("tweak go.mod: %w: %s", err, tail(string(msg), 400))
		}
	}
	return appendFile(filepath.Join(src, "go.sum"), r.Sums)
}

// compile runs the Go compiler for one target. Modules are checked against
// go.sum and go.mod is not touched: anything a recipe has not pinned stops
// the build.
func (r Recipe) compile(ctx context.Context, p *Progress, src, out string, t Target) error {
	args := []string{"build", "-v", "-mod=readonly", "-trimpath", "-o", out}
	if len(r.Tags) > 0 {
		args = append(args, "-tags", strings.Join(r.Tags, ","))
	}
	args = append(args, "-ldflags", strings.Join(append([]string{"-s", "-w"}, r.LDFlags...), " "), t.Package)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = src, goEnv()
	if r.Arch != "" {
		cmd.Env = append(cmd.Env, "GOARCH="+r.Arch)
	}
	// Its own process group: an interrupt takes the compilers with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var log bytes.Buffer
	packages := 0
	// -v prints a line for each package compiled: a sign of life.
	cmd.Stderr = &lineWriter{line: func(line string) {
		if strings.HasPrefix(line, "go: downloading ") {
			p.Note(t.Name + ": download " + strings.TrimPrefix(line, "go: downloading "))
			return
		}
		fmt.Fprintln(&log, line)
		packages++
		p.Note(fmt.Sprintf("%s: %d packages", t.Name, packages))
	}}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%s: %w\n%s", t.Name, err, tail(log.String(), 2000))
	}
	return nil
}

// install moves the finished programs to their final place. The folder is
// renamed as a whole; where one of the same name stands (a program in it was
// deleted by hand), the programs replace those in it one by one.
func install(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.Rename(from, to); err == nil {
		return nil
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		err = errors.Join(err, os.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())))
	}
	return err
}

// appendFile adds text to a file that may not exist yet.
func appendFile(name, text string) (err error) {
	if text == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.WriteString(text)
	return err
}

// lineWriter hands on what is written to it line by line.
type lineWriter struct {
	line func(string)
	rest []byte
}

// Write implements [io.Writer].
func (w *lineWriter) Write(b []byte) (int, error) {
	w.rest = append(w.rest, b...)
	for {
		n, line, err := bufio.ScanLines(w.rest, false)
		if err != nil || n == 0 {
			return len(b), err
		}
		w.line(string(line))
		w.rest = w.rest[n:]
	}
}
