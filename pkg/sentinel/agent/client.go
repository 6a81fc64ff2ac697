package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// Client speaks to one agent.
type Client struct {
	url  string
	http *http.Client
}

// NewClient speaks to the agent at a base URL.
func NewClient(url string, config *tls.Config) *Client {
	transport := &http.Transport{TLSClientConfig: config, IdleConnTimeout: 30 * time.Second}
	return &Client{url: strings.TrimSuffix(url, "/"), http: &http.Client{Transport: transport, Timeout: 10 * time.Second}}
}

// maxAnswer bounds an agent's answer: all copies, in base64.
const maxAnswer = 64 << 20

// Read returns the file and its hash; see File.Read.
func (c *Client) Read(ctx context.Context, term int64) (content []byte, hash string, err error) {
	content, header, err := c.do(ctx, http.MethodGet, route, nil, term, nil)
	if err != nil {
		return nil, "", err
	}
	if hash = header.Get(hashHeader); hash == "" {
		return nil, "", errors.New("the agent names no hash")
	}
	return content, hash, nil
}

// Write replaces the file that has a hash; ErrChanged says that it is another,
// ErrOutdated that it is another operator's turn.
func (c *Client) Write(ctx context.Context, content []byte, replaces string, term int64) error {
	_, _, err := c.do(ctx, http.MethodPut, route, content, term, map[string]string{replacesHeader: replaces})
	return err
}

// Kept are copies of files, by hash; see File.Kept.
func (c *Client) Kept(ctx context.Context, term int64) (map[string][]byte, error) {
	body, _, err := c.do(ctx, http.MethodGet, keptRoute, nil, term, nil)
	if err != nil {
		return nil, err
	}
	var copies map[string][]byte
	if err := json.Unmarshal(body, &copies); err != nil {
		return nil, errors.New("the agent's answer is no list of files") // it may quote one
	}
	for hash, content := range copies {
		if encryption.Hash(content) != hash {
			return nil, errors.New("the agent names another hash than a file has")
		}
	}
	return copies, nil
}

// Forget removes all copies but that of the file that has a hash.
func (c *Client) Forget(ctx context.Context, hash string, term int64) error {
	_, _, err := c.do(ctx, http.MethodDelete, keptRoute, nil, term, map[string]string{hashHeader: hash})
	return err
}

func (c *Client) do(ctx context.Context, method, route string, content []byte, term int64, headers map[string]string) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url+route, bytes.NewReader(content))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set(termHeader, strconv.FormatInt(term, 10))
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, nil, err
	case resp.StatusCode == http.StatusPreconditionFailed:
		return nil, nil, ErrChanged
	case resp.StatusCode == http.StatusConflict:
		return nil, nil, ErrOutdated
	case resp.StatusCode/100 != 2:
		return nil, nil, fmt.Errorf("the agent answers %s", resp.Status)
	case len(body) > maxAnswer:
		return nil, nil, errors.New("the agent's answer is too large")
	}
	return body, resp.Header, nil
}
