// Package public has a program trust the public certificate authorities where the machine
// has none: our images hold one program and no file beside it, and services of clouds, public
// logs and timestamp authorities speak TLS under these.
//
// They are Mozilla's, of the day that the module was made. A bundle of the operator's, by
// SSL_CERT_FILE, SSL_CERT_DIR or mounted where Go looks for one, counts in their place. None
// of it says whose seals count: that does the trusted root alone.
package public

import (
	_ "golang.org/x/crypto/x509roots/fallback" // counts where the machine has no certificate
)
