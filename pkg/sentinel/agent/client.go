package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Client speaks to one agent.
type Client struct {
	url  string
	http *http.Client
}

// NewClient speaks to the agent at a base URL.
func NewClient(url string, config *tls.Config) *Client {
	transport := &http.Transport{TLSClientConfig: config, IdleConnTimeout: 30 * time.Second}
	return &Client{url: strings.TrimSuffix(url, "/") + route, http: &http.Client{Transport: transport, Timeout: 10 * time.Second}}
}

// Read returns the file and its hash; see File.Read.
func (c *Client) Read(ctx context.Context) (content []byte, hash string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return nil, "", err
	}
	content, header, err := c.do(req)
	if err != nil {
		return nil, "", err
	}
	if hash = header.Get(hashHeader); hash == "" {
		return nil, "", errors.New("the agent names no hash")
	}
	return content, hash, nil
}

// Write replaces the file that has a hash; ErrChanged says that it is another.
func (c *Client) Write(ctx context.Context, content []byte, replaces string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, c.url, bytes.NewReader(content))
	if err != nil {
		return err
	}
	req.Header.Set(replacesHeader, replaces)
	_, _, err = c.do(req)
	return err
}

func (c *Client) do(req *http.Request) ([]byte, http.Header, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxFile+1))
	switch {
	case err != nil:
		return nil, nil, err
	case resp.StatusCode == http.StatusPreconditionFailed:
		return nil, nil, ErrChanged
	case resp.StatusCode/100 != 2:
		return nil, nil, fmt.Errorf("the agent answers %s", resp.Status)
	case len(body) > maxFile:
		return nil, nil, errors.New("the agent's answer is too large")
	}
	return body, resp.Header, nil
}
