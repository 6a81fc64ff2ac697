package pin

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content/contenttest"
	"github.com/argoseal/argoseal/pkg/reason"
)

// executor is what argoexec has in it: more than is compared at a time.
var executor = strings.Repeat("argoexec", chunk/4) + "."

// image is the argoexec of the executor's image.
func image(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "argoexec")
	plant(t, path, executor, 0o755)
	return path
}

// left is a folder with what init leaves there, made as init makes it: one executable,
// if any, and then one text.
func left(t *testing.T, program, text string) string {
	t.Helper()
	root := t.TempDir()
	if program != "" {
		plant(t, filepath.Join(root, program), executor, modeProgram)
	}
	plant(t, filepath.Join(root, text), "x", modeTemplate)
	return root
}

// plant makes a file of a mode, whatever the umask is.
func plant(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	must(t, err)
	must(t, f.Chmod(mode))
	_, err = f.WriteString(content)
	must(t, errors.Join(err, f.Close()))
}

// tick is more than the time in which the kernel gives two changes the same time.
const tick = 50 * time.Millisecond

// overwrite writes to a file that is there, as Argo's drivers of GCS and Azure do, with
// the rights of root.
func overwrite(t *testing.T, path, content string) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	time.Sleep(tick)
	if os.Geteuid() != 0 {
		chmod(t, path, 0o700)
		defer chmod(t, path, info.Mode())
	}
	must(t, os.WriteFile(path, []byte(content), 0o666))
}

func TestWhatInitLeavesBesideTheInputsIsAccepted(t *testing.T) {
	if err := CheckStaging(left(t, "", "script"), contenttest.SumOfX); err != nil {
		t.Error(err)
	}
	for title, since := range map[string]func(t *testing.T, root string){
		"at once": func(*testing.T, string) {},
		"later":   func(*testing.T, string) { time.Sleep(tick) },
		"read and run": func(t *testing.T, root string) {
			time.Sleep(tick)
			for _, name := range []string{"argoexec", "template"} {
				_, err := os.ReadFile(filepath.Join(root, name))
				must(t, err)
			}
		},
		// The kubelet may give the folder a quota or a group when it starts again.
		"a folder with another mode": func(t *testing.T, root string) { time.Sleep(tick); chmod(t, root, 0o777|os.ModeSetgid) },
		"a template that is written slowly": func(t *testing.T, root string) {
			overwrite(t, filepath.Join(root, "template"), "x")
		},
	} {
		t.Run(title, func(t *testing.T) {
			root := left(t, "argoexec", "template")
			since(t, root)
			if err := CheckRun(root, contenttest.SumOfX, ""); err != nil {
				t.Error(err)
			}
			if err := CheckRun(root, contenttest.SumOfX, image(t)); err != nil {
				t.Errorf("compared: %v", err)
			}
		})
	}
	// Where argoexec is compared, no time matters.
	for title, since := range map[string]func(t *testing.T, root string){
		// If a runtime loses its records, the kubelet starts init again in the same volume.
		"an init that ran twice": func(t *testing.T, root string) {
			overwrite(t, root+"/argoexec", executor)
			overwrite(t, root+"/template", "x")
		},
		"other labels": func(t *testing.T, root string) {
			time.Sleep(tick)
			chmod(t, root+"/argoexec", 0o755)
			chmod(t, root+"/argoexec", 0o555)
		},
	} {
		t.Run(title, func(t *testing.T) {
			root := left(t, "argoexec", "template")
			since(t, root)
			if err := CheckRun(root, contenttest.SumOfX, image(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// What several downloads can do together to argoexec, or one within a tick of the clock.
func TestAnotherArgoexecIsRefusedWhateverItsModeAndTimes(t *testing.T) {
	for title, content := range map[string]string{
		"another":                 "evil",
		"empty":                   "",
		"with another last byte":  executor[:len(executor)-1] + "!",
		"with more at its end":    executor + "x",
		"with less at its end":    executor[:len(executor)-1],
		"with its first piece":    executor[:chunk],
		"with another first byte": "A" + executor[1:],
	} {
		t.Run(title, func(t *testing.T) {
			root := left(t, "argoexec", "template")
			plant(t, root+"/abc.part.minio", content, modeProgram) // an archive does, through a link of its own
			time.Sleep(tick)
			must(t, os.Rename(root+"/abc.part.minio", root+"/argoexec")) // S3's client does, where the store keeps ".."
			overwrite(t, root+"/template", "x")                          // another archive does
			if err := CheckRun(root, contenttest.SumOfX, ""); err != nil {
				t.Errorf("the order does not tell, and yet: %v", err)
			}
			wantRefused(t, CheckRun(root, contenttest.SumOfX, image(t)), change{want: reason.InputAltered, says: "artifact argoexec: it is not the one of the executor's image"})
		})
	}
}

// change is something done to a folder, and how it is refused.
type change struct {
	do   func(t *testing.T, root string)
	want reason.Code
	says string
}

func TestWhatADownloadCouldWriteToRunIsRefused(t *testing.T) {
	for title, c := range map[string]change{
		"an exit code of main": {func(t *testing.T, root string) {
			contenttest.Plant(t, root, [2]string{"ctr/main/", ""}, [2]string{"ctr/main/exitcode", "0"})
		}, reason.InputExtra, `"ctr" in /var/run/argo`},
		"an empty folder":    {func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"outputs/", ""}) }, reason.InputExtra, `"outputs"`},
		"a link":             {func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"y", "-> /"}) }, reason.InputExtra, `"y"`},
		"another template":   {func(t *testing.T, root string) { overwrite(t, root+"/template", "y") }, reason.InputAltered, "artifact template: digest is"},
		"no template":        {func(t *testing.T, root string) { remove(t, root+"/template") }, reason.InputMissing, "artifact template"},
		"a link as template": {func(t *testing.T, root string) { moved(t, root+"/template") }, reason.InputAltered, "symbolic link"},
		"a FIFO as template": {func(t *testing.T, root string) { remove(t, root+"/template"); fifo(t, root+"/template") }, reason.InputAltered, "FIFO"},
		"a huge template":    {func(t *testing.T, root string) { chmod(t, root+"/template", 0o644); grow(t, root+"/template") }, reason.InputAltered, "more than 4194304 bytes"},
		"no argoexec":        {func(t *testing.T, root string) { remove(t, root+"/argoexec") }, reason.InputMissing, "artifact argoexec"},
		"an argoexec that was downloaded in its place": {func(t *testing.T, root string) { download(t, root+"/argoexec", "evil") }, reason.InputAltered, "mode is -rw-------"},
		"an argoexec that was downloaded into it":      {func(t *testing.T, root string) { overwrite(t, root+"/argoexec", "evil") }, reason.InputAltered, "artifact argoexec: it was changed after Argo's init"},
		"the same with times of the archive's": {func(t *testing.T, root string) {
			before, err := os.Stat(root + "/argoexec")
			must(t, err)
			overwrite(t, root+"/argoexec", "evil")
			must(t, os.Chtimes(root+"/argoexec", before.ModTime(), before.ModTime()))
		}, reason.InputAltered, "artifact argoexec: it was changed after Argo's init"},
		"both downloaded into what is there": {func(t *testing.T, root string) {
			overwrite(t, root+"/argoexec", "evil")
			overwrite(t, root+"/template", "x")
		}, reason.InputAltered, "artifact argoexec: it was changed after Argo's init"},
		"an argoexec that was downloaded into it before a template in its place": {func(t *testing.T, root string) {
			overwrite(t, root+"/argoexec", "evil")
			download(t, root+"/template", "x")
		}, reason.InputAltered, "artifact template: mode is -rw-------"},
		"an argoexec that was downloaded into it before a part of another file": {func(t *testing.T, root string) {
			overwrite(t, root+"/argoexec", "evil")
			time.Sleep(tick)
			contenttest.Plant(t, root, [2]string{"abc.part.minio", ""})
			remove(t, root+"/abc.part.minio")
		}, reason.InputExtra, "something was in /var/run/argo after Argo's init"},
		"an argoexec with a mode that came and went": {func(t *testing.T, root string) {
			time.Sleep(tick)
			chmod(t, root+"/argoexec", 0o755)
			chmod(t, root+"/argoexec", 0o555)
		}, reason.InputAltered, "it was changed after Argo's init"},
		"a template with another name": {func(t *testing.T, root string) {
			must(t, os.Link(root+"/template", filepath.Join(t.TempDir(), "other")))
		}, reason.InputAltered, "artifact template: it has another name"},
		"a writable argoexec": {func(t *testing.T, root string) { chmod(t, root+"/argoexec", 0o755) }, reason.InputAltered, "mode is"},
		"a setuid argoexec":   {func(t *testing.T, root string) { chmod(t, root+"/argoexec", 0o555|os.ModeSetuid) }, reason.InputAltered, "mode is"},
		"a link as argoexec":  {func(t *testing.T, root string) { moved(t, root+"/argoexec") }, reason.InputAltered, "mode is L"},
		"a folder as argoexec": {func(t *testing.T, root string) {
			remove(t, root+"/argoexec")
			contenttest.Plant(t, root, [2]string{"argoexec/", ""})
			chmod(t, root+"/argoexec", 0o555)
		}, reason.InputAltered, "mode is d"},
		"an argoexec with another name": {func(t *testing.T, root string) {
			must(t, os.Link(root+"/argoexec", filepath.Join(t.TempDir(), "other")))
		}, reason.InputAltered, "another name"},
		"no volume": {func(t *testing.T, root string) { remove(t, root) }, reason.Internal, "opening /var/run/argo"},
	} {
		t.Run(title, func(t *testing.T) {
			root := left(t, "argoexec", "template")
			c.do(t, root)
			if !strings.Contains(c.says, "after Argo's init") {
				wantRefused(t, CheckRun(root, contenttest.SumOfX, image(t)), change{want: c.want})
			}
			wantRefused(t, CheckRun(root, contenttest.SumOfX, ""), c)
		})
	}
}

// What init copied has to be known.
func TestAnImageWithoutArgoexecProvesNothing(t *testing.T) {
	for title, program := range map[string]string{"one that is gone": t.TempDir() + "/argoexec", "a folder": t.TempDir()} {
		t.Run(title, func(t *testing.T) {
			wantRefused(t, CheckRun(left(t, "argoexec", "template"), contenttest.SumOfX, program), change{want: reason.Internal, says: "what init copied"})
		})
	}
}

func TestWhatADownloadCouldWriteToStagingIsRefused(t *testing.T) {
	for title, c := range map[string]change{
		"another script": {func(t *testing.T, root string) { overwrite(t, root+"/script", "y") }, reason.InputAltered, "artifact script: digest is"},
		"no script":      {func(t *testing.T, root string) { remove(t, root+"/script") }, reason.InputMissing, "artifact script"},
		"a folder": {func(t *testing.T, root string) {
			remove(t, root+"/script")
			contenttest.Plant(t, root, [2]string{"script/", ""})
		}, reason.InputAltered, "directory"},
		"something more":  {func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"script.part", "x"}) }, reason.InputExtra, `"script.part" in /argo/staging`},
		"a module beside": {func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"os.py", "x"}) }, reason.InputExtra, `"os.py"`},
	} {
		t.Run(title, func(t *testing.T) {
			root := left(t, "", "script")
			c.do(t, root)
			wantRefused(t, CheckStaging(root, contenttest.SumOfX), c)
		})
	}
}

func TestNothingIsComparedWithoutADigest(t *testing.T) {
	for _, digest := range []artifact.Digest{"", "x", artifact.Digest(strings.ToUpper(contenttest.SumOfX))} {
		wantRefused(t, CheckRun(left(t, "argoexec", "template"), digest, image(t)), change{want: reason.UsageInvalid, says: "SHA-256"})
		wantRefused(t, CheckStaging(left(t, "", "script"), digest), change{want: reason.UsageInvalid, says: "SHA-256"})
	}
}

func TestARawInputIsWhatTheTemplateSays(t *testing.T) {
	mode := func(m int32) *int32 { return &m }
	for title, c := range map[string]struct {
		mode *int32
		change
	}{
		"as it is":                      {nil, change{func(*testing.T, string) {}, "", ""}},
		"as Argo's umask makes it":      {nil, change{func(t *testing.T, root string) { chmod(t, root+"/raw", 0o666) }, "", ""}},
		"with its mode":                 {mode(0o755), change{func(t *testing.T, root string) { chmod(t, root+"/raw", 0o755) }, "", ""}},
		"another content":               {nil, change{func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"raw", "y"}) }, reason.InputAltered, "artifact raw: digest is"}},
		"another content with its mode": {mode(0o644), change{func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"raw", "y"}) }, reason.InputAltered, "digest is"}},
		"missing":                       {nil, change{func(t *testing.T, root string) { remove(t, root+"/raw") }, reason.InputMissing, "artifact raw"}},
		"a link":                        {nil, change{func(t *testing.T, root string) { moved(t, root+"/raw") }, reason.InputAltered, "symbolic link"}},
		"a folder": {nil, change{func(t *testing.T, root string) {
			remove(t, root+"/raw")
			contenttest.Plant(t, root, [2]string{"raw/", ""})
		}, reason.InputAltered, "directory"}},
		"huge":                 {nil, change{func(t *testing.T, root string) { grow(t, root+"/raw") }, reason.InputAltered, "more than"}},
		"executable":           {nil, change{func(t *testing.T, root string) { chmod(t, root+"/raw", 0o654) }, reason.InputAltered, "no executable"}},
		"setuid":               {nil, change{func(t *testing.T, root string) { chmod(t, root+"/raw", 0o644|os.ModeSetuid) }, reason.InputAltered, "no executable"}},
		"another mode":         {mode(0o755), change{func(*testing.T, string) {}, reason.InputAltered, "admitted was 0755"}},
		"its mode with setgid": {mode(0o755), change{func(t *testing.T, root string) { chmod(t, root+"/raw", 0o755|os.ModeSetgid) }, reason.InputAltered, "admitted was 0755"}},
	} {
		t.Run(title, func(t *testing.T) {
			root, pins := volume(t)
			contenttest.Plant(t, root, [2]string{"raw", "x"})
			c.do(t, root)
			wantRefused(t, CheckInputs(root, nil, pins, []Raw{{Input: "raw", SHA256: contenttest.SumOfX, Mode: c.mode}}), c.change)
		})
	}
}

func TestParseRawIsStrict(t *testing.T) {
	for _, good := range []string{"a=" + contenttest.SumOfX, "a=" + contenttest.SumOfX + "=0755", "a=" + contenttest.SumOfX + "=0"} {
		r, err := ParseRaw(good)
		if err != nil || r.String() != good || r.Input != "a" || r.SHA256 != contenttest.SumOfX || (r.Mode != nil) != (len(good) > 66) {
			t.Errorf("%s is read as %s (%v)", good, r, err)
		}
	}
	for title, bad := range map[string]string{
		"nothing":               "",
		"a name":                "a",
		"no digest":             "a=",
		"no name":               "=" + contenttest.SumOfX,
		"a path":                "../a=" + contenttest.SumOfX,
		"an upper-case digest":  "a=" + strings.ToUpper(contenttest.SumOfX),
		"an empty mode":         "a=" + contenttest.SumOfX + "=",
		"a decimal mode":        "a=" + contenttest.SumOfX + "=0798",
		"a mode below nothing":  "a=" + contenttest.SumOfX + "=-1",
		"a mode of other bits":  "a=" + contenttest.SumOfX + "=10000",
		"something after it":    "a=" + contenttest.SumOfX + "=0755=x",
		"something in between ": "a= " + contenttest.SumOfX,
	} {
		t.Run(title, func(t *testing.T) {
			if r, err := ParseRaw(bad); err == nil {
				t.Errorf("accepted as %+v", r)
			}
		})
	}
}

func wantRefused(t *testing.T, err error, c change) {
	t.Helper()
	if reason.Of(err) != c.want || err != nil && !strings.Contains(err.Error(), c.says) {
		t.Errorf("got %v, want %q with %q", err, c.want, c.says)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// moved puts a link to what was there in its place.
func moved(t *testing.T, path string) {
	t.Helper()
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	must(t, os.Rename(path, elsewhere))
	must(t, os.Symlink(elsewhere, path))
}

// download puts a new file in the place of one, as Argo's driver of S3 does.
func download(t *testing.T, path, content string) {
	t.Helper()
	time.Sleep(tick)
	part := filepath.Join(filepath.Dir(path), "part.minio")
	plant(t, part, content, 0o600)
	must(t, os.Rename(part, path))
}

func fifo(t *testing.T, path string) {
	t.Helper()
	must(t, syscall.Mkfifo(path, 0o644))
}

// grow makes a file longer than any template can be.
func grow(t *testing.T, path string) {
	t.Helper()
	must(t, os.Truncate(path, maxText+1))
}
