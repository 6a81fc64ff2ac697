// Package pki makes the keys and certificates of the development cluster:
// one authority, a certificate for each identity, and the key that signs
// ServiceAccount tokens. They live as long as the cluster does, a year at
// most, in files that only root can read.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime outlasts any development cluster. Nothing here is renewed.
const lifetime = 365 * 24 * time.Hour

// Leaf is a certificate to be issued. Name is its file name without ending,
// CommonName and Groups are the user and groups the API server takes its
// holder for, Hosts the names and addresses it may serve as.
type Leaf struct {
	Name       string
	CommonName string
	Groups     []string
	Hosts      []string
}

// Authority signs certificates and writes them to Dir.
type Authority struct {
	Dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New makes an authority and writes ca.crt and ca.key. It replaces whatever
// lies in dir.
func New(dir string) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := template("argoseal-dev-ca")
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a := &Authority{Dir: dir, cert: cert, key: key}
	return a, errors.Join(a.writeCert("ca", der), a.writeKey("ca", key))
}

// Open is the authority that New made in dir.
func Open(dir string) (*Authority, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"))
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key in %s is none of ours", dir)
	}
	return &Authority{Dir: dir, cert: pair.Leaf, key: key}, nil
}

// Issued tells whether this authority has issued a leaf, and its key is there.
func (a *Authority) Issued(leaf Leaf) bool {
	file := filepath.Join(a.Dir, leaf.Name)
	pair, err := tls.LoadX509KeyPair(file+".crt", file+".key")
	return err == nil && pair.Leaf.CheckSignatureFrom(a.cert) == nil
}

// Issue writes <name>.crt and <name>.key. Every certificate serves both ways,
// as client and server; what a holder may do is up to the API server.
func (a *Authority) Issue(leaf Leaf) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template, err := template(leaf.CommonName)
	if err != nil {
		return err
	}
	template.Subject.Organization = leaf.Groups
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	for _, h := range leaf.Hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("issue %s: %w", leaf.Name, err)
	}
	return errors.Join(a.writeCert(leaf.Name, der), a.writeKey(leaf.Name, key))
}

// WriteTokenKey writes the pair that signs and checks ServiceAccount tokens:
// <name>.key and <name>.pub.
func (a *Authority) WriteTokenKey(name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return errors.Join(a.writeKey(name, key), a.write(name+".pub", "PUBLIC KEY", der))
}

func template(commonName string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: commonName},
		NotBefore:    now.Add(-time.Hour), // clocks of virtual machines jump
		NotAfter:     now.Add(lifetime),
	}, nil
}

func (a *Authority) writeCert(name string, der []byte) error {
	return a.write(name+".crt", "CERTIFICATE", der)
}

func (a *Authority) writeKey(name string, key *ecdsa.PrivateKey) error {
	// SEC 1, which every Kubernetes component reads, also for token keys.
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return a.write(name+".key", "EC PRIVATE KEY", der)
}

func (a *Authority) write(name, kind string, der []byte) error {
	data := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	return os.WriteFile(filepath.Join(a.Dir, name), data, 0o600)
}
