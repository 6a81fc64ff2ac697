package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/argoseal/argoseal/e2e/cluster/part"
)

// ArgoServer is Argo's server, which makes Workflows of events: a process of this
// machine, not a part of the cluster. It acts for whoever asks it, by the token that he
// shows, so it does not matter that it listens on every address.
type ArgoServer struct {
	url  string
	end  context.CancelFunc
	cmd  *exec.Cmd
	said bytes.Buffer
}

// ArgoServer starts one; it ends with Stop.
func (l *Lab) ArgoServer(ctx context.Context, token string) (*ArgoServer, error) {
	argo, err := part.Path(ctx, "argo", "argo")
	if err != nil {
		return nil, err
	}
	free, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(free.Addr().String())
	if err = errors.Join(err, free.Close()); err != nil {
		return nil, err
	}
	running, end := context.WithCancel(ctx)
	s := &ArgoServer{url: "http://127.0.0.1:" + port, end: end}
	// Its configuration is that of the first controller, so it has the workflows of that one.
	s.cmd = exec.CommandContext(running, argo, "--namespace", part.ArgoNamespace, "server", "--auth-mode", "client", "--secure=false", "--port", port)
	s.cmd.Env = append(os.Environ(), "KUBECONFIG="+l.Kubeconfig)
	s.cmd.Stdout, s.cmd.Stderr = &s.said, &s.said
	if err := s.cmd.Start(); err != nil {
		end()
		return nil, fmt.Errorf("argo server: %w", err)
	}
	err = Eventually(ctx, 2*time.Minute, func(ctx context.Context) (bool, error) {
		return s.ask(ctx, http.MethodGet, "version", token, "") == nil, nil
	})
	if err != nil {
		s.Stop()
		return nil, fmt.Errorf("argo server does not answer: %w\n%s", err, s.said.String())
	}
	return s, nil
}

// Stop ends it.
func (s *ArgoServer) Stop() {
	s.end()
	_ = s.cmd.Wait() // it was told to
}

// Event tells it that something happened: a payload, in JSON.
func (s *ArgoServer) Event(ctx context.Context, token, ns, discriminator, payload string) error {
	return s.ask(ctx, http.MethodPost, "events/"+ns+"/"+discriminator, token, payload)
}

func (s *ArgoServer) ask(ctx context.Context, method, path, token, payload string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+"/api/v1/"+path, strings.NewReader(payload))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("argo server: %s %s: %s: %s", method, path, answer.Status, body)
	}
	return err
}
