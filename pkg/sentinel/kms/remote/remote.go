// Package remote opens keys of key services, by URL. Each kind of service is one file,
// with a way to spell a key that leads to this key alone, for ever: what is encrypted
// keeps it as the key's ID.
package remote

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"

	"github.com/argoseal/argoseal/pkg/sentinel/kms"
)

// ErrURL says that a URL names no key, or not in the one way.
var ErrURL = errors.New("not the URL of a key")

// kinds are the kinds of services, by the scheme of their URLs.
var kinds = map[string]func(context.Context, *url.URL) (kms.Keeper, error){
	"awskms": openAWS,
}

// Open opens a key. Its ID is the URL without what says how to get to the service.
func Open(ctx context.Context, given string) (kms.Key, error) {
	u, err := url.Parse(given)
	if err != nil {
		return kms.Key{}, fmt.Errorf("%w: want awskms:///ARN", ErrURL) // what was given may have a password
	}
	open, known := kinds[u.Scheme]
	if !known || u.User != nil || u.Opaque != "" || u.Fragment != "" {
		return kms.Key{}, fmt.Errorf("%w: want awskms:///ARN", ErrURL)
	}
	id := u.Scheme + "://" + u.Host + u.Path
	keeper, err := open(ctx, u)
	if err != nil {
		return kms.Key{}, fmt.Errorf("%q: %w", id, err)
	}
	return kms.Key{ID: id, Keeper: keeper}, nil
}

// options are the values of a URL's query, of which there are no others, and none twice.
func options(u *url.URL, names ...string) (map[string]string, error) {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("%w: its options cannot be read", ErrURL)
	}
	got := map[string]string{}
	for _, name := range names {
		if values := query[name]; len(values) == 1 {
			got[name] = values[0]
		}
	}
	if len(got) != len(query) {
		return nil, fmt.Errorf("%w: of options there are %q, each once", ErrURL, names)
	}
	return got, nil
}

// endpoint is where a key service is said to answer. It has no credentials: they would
// get into logs.
func endpoint(given string) error {
	u, err := url.Parse(given)
	if err != nil || u.User != nil {
		return fmt.Errorf("%w: endpoint is no URL, or has credentials", ErrURL)
	}
	return secured(u)
}

// secured refuses a service that others could listen to, or answer for.
func secured(u *url.URL) error {
	if u.Scheme == "https" && u.Host != "" {
		return nil
	}
	if address, err := netip.ParseAddr(u.Hostname()); u.Scheme == "http" && err == nil && address.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%w: endpoint %s://%s is neither https nor a loopback address", ErrURL, u.Scheme, u.Host)
}
