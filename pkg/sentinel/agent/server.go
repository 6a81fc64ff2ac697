package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/go-logr/logr"
)

// route is where the file is read and written, keptRoute where the copies are;
// hashHeader names the file that is there, replacesHeader the one that a write
// replaces, termHeader whose turn the client takes it to be.
const (
	route          = "/v1/file"
	keptRoute      = "/v1/kept"
	hashHeader     = "Argoseal-File-Hash"
	replacesHeader = "Argoseal-File-Replaces"
	termHeader     = "Argoseal-Term"
)

// Handler serves a file. It logs hashes, never content.
func Handler(f *File, log logr.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+route, func(w http.ResponseWriter, r *http.Request) {
		content, hash, err := f.Read(term(r))
		if refused(w, log, err) {
			return
		}
		w.Header().Set(hashHeader, hash)
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(content)
	})
	mux.HandleFunc("PUT "+route, func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFile))
		if err != nil {
			http.Error(w, "the file is too large, or was cut off", http.StatusBadRequest)
			return
		}
		if refused(w, log, f.Write(content, r.Header.Get(replacesHeader), term(r))) {
			return
		}
		log.Info("Wrote the file", "replaced", r.Header.Get(replacesHeader))
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET "+keptRoute, func(w http.ResponseWriter, r *http.Request) {
		copies, err := f.Kept(term(r))
		if refused(w, log, err) {
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(copies)
	})
	mux.HandleFunc("DELETE "+keptRoute, func(w http.ResponseWriter, r *http.Request) {
		if !refused(w, log, f.Forget(r.Header.Get(hashHeader), term(r))) {
			w.WriteHeader(http.StatusNoContent)
		}
	})
	return mux
}

// term is what the client says; zero, which is nobody's, if it says none.
func term(r *http.Request) int64 {
	n, err := strconv.ParseInt(r.Header.Get(termHeader), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// refused answers for an error, if there is one.
func refused(w http.ResponseWriter, log logr.Logger, err error) bool {
	switch {
	case err == nil:
		return false
	case errors.Is(err, ErrChanged):
		http.Error(w, err.Error(), http.StatusPreconditionFailed)
	case errors.Is(err, ErrOutdated):
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		log.Error(err, "Could not do what was asked with the file")
		http.Error(w, "the file cannot be read or written", http.StatusInternalServerError)
	}
	return true
}

// TLS are the files of one end of the connection.
type TLS struct {
	Cert, Key string
	// CA signed the certificates of the other end.
	CA string
}

// Serve serves until the context ends, to the client of one name. Certificates
// are read at each connection, so that they can be renewed.
func Serve(ctx context.Context, l net.Listener, h http.Handler, t TLS, client string) error {
	config := &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			pair, pool, err := t.load()
			if err != nil {
				return nil, err
			}
			return &tls.Config{
				MinVersion:   tls.VersionTLS13,
				Certificates: []tls.Certificate{pair},
				ClientCAs:    pool,
				ClientAuth:   tls.RequireAndVerifyClientCert,
				VerifyConnection: func(s tls.ConnectionState) error {
					if name := s.PeerCertificates[0].Subject.CommonName; client == "" || name != client {
						return fmt.Errorf("client %q is not %q", name, client)
					}
					return nil
				},
			}, nil
		},
	}
	server := &http.Server{Handler: h, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(tls.NewListener(l, config)); ctx.Err() == nil {
		return err
	}
	return nil
}

func (t TLS) load() (tls.Certificate, *x509.CertPool, error) {
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	pool, err := Pool(t.CA)
	return pair, pool, err
}

// Pool reads certificates of authorities.
func Pool(file string) (*x509.CertPool, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("%s has no certificate", file)
	}
	return pool, nil
}

// Config is that of a client: of the agents, or of etcd.
func (t TLS) Config() (*tls.Config, error) {
	pair, pool, err := t.load()
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, RootCAs: pool}, nil
}
