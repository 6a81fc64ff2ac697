// Package public has a program trust the public certificate authorities where the machine
// has none: our images hold one program and no file beside it, and services of clouds, public
// logs and timestamp authorities speak TLS under these.
//
// They are Mozilla's, of the day that the module was made. A bundle of the operator's, by
// SSL_CERT_FILE, SSL_CERT_DIR or mounted where Go looks for one, counts in their place. If it
// has no certificate, Go takes ours again: programs call Check before they begin. None of it
// says whose seals count: that does the trusted root alone.
package public

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	_ "golang.org/x/crypto/x509roots/fallback" // counts where the machine has no certificate
)

const (
	fileVariable = "SSL_CERT_FILE"
	dirVariable  = "SSL_CERT_DIR"
)

// Check fails where the variables are set and lead to no certificate: whoever set them wants
// others than the public authorities, which would be trusted. It reads as crypto/x509 does.
func Check() error {
	var why []error
	if file := os.Getenv(fileVariable); file != "" {
		err := certificateIn(file)
		if err == nil {
			return nil
		}
		why = append(why, fmt.Errorf("%s: %w", fileVariable, err))
	}
	if dirs := os.Getenv(dirVariable); dirs != "" {
		for dir := range strings.SplitSeq(dirs, ":") {
			err := certificateBelow(dir)
			if err == nil {
				return nil
			}
			why = append(why, fmt.Errorf("%s: %w", dirVariable, err))
		}
	}
	if len(why) == 0 {
		return nil
	}
	return fmt.Errorf("no certificate of yours can be read, and the public authorities would be trusted instead. Put one there, or unset the variable: %w", errors.Join(why...))
}

func certificateIn(file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(raw) {
		return fmt.Errorf("%s has no certificate in PEM", file)
	}
	return nil
}

func certificateBelow(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		if certificateIn(dir+"/"+file.Name()) == nil {
			return nil
		}
	}
	return fmt.Errorf("no file of %s has a certificate in PEM", dir)
}
