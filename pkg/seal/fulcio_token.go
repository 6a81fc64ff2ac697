package seal

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The ServiceAccount token that Fulcio is shown, and the identity in it.

// token reads the token as it is now.
func (f *Fulcio) token() (string, error) {
	file, err := os.Open(f.tokenFile)
	if err != nil {
		return "", fmt.Errorf("token for Fulcio: %w", err)
	}
	defer func() { _ = file.Close() }()
	raw, err := io.ReadAll(io.LimitReader(file, maxToken+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("token for Fulcio: %w", err)
	case len(raw) > maxToken:
		return "", fmt.Errorf("token for Fulcio has more than %d bytes", maxToken)
	}
	return string(bytes.TrimSpace(raw)), nil
}

// identityIn is whom a token of a ServiceAccount speaks for. Nothing is checked here:
// Fulcio judges the token, and what Fulcio certifies has to be just that.
func identityIn(token string) (issuer, subject string, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", "", errors.New("token for Fulcio is not a signed JWT")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", "", errors.New("token for Fulcio is not a signed JWT") // the cause would quote it
	}
	var says struct {
		Iss, Sub string
		Aud      audiences
	}
	if err := json.Unmarshal(raw, &says); err != nil {
		return "", "", errors.New("token for Fulcio has no claims that can be read")
	}
	account, ok := strings.CutPrefix(says.Sub, serviceAccount)
	namespace, name, pair := strings.Cut(account, ":")
	if !ok || !pair || namespace == "" || name == "" || strings.ContainsAny(account, "/?#") || says.Iss == "" {
		return "", "", fmt.Errorf("token for Fulcio is of %.200q by %.200q, want one of a ServiceAccount", says.Sub, says.Iss)
	}
	if len(says.Aud) != 1 || says.Aud[0] == "" || ofAPIServer(says.Aud[0], says.Iss) {
		return "", "", fmt.Errorf("token for Fulcio is for %.200q, want one for Fulcio alone: others would let whoever gets it speak for the notary there, as at the API server", []string(says.Aud))
	}
	return says.Iss, fmt.Sprintf(accountURI, namespace, name), nil
}

// audiences are whom a token is for: one text, or a list of them.
type audiences []string

// UnmarshalJSON takes one text or a list (RFC 7519, section 4.1.3).
func (a *audiences) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*a = audiences{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(a))
}

// ofAPIServer says whether the API server takes a token for that audience: by default it does
// so where it is the issuer, and that has names of its own.
func ofAPIServer(audience, issuer string) bool {
	bare := func(name string) string { return strings.TrimRight(strings.TrimPrefix(name, "https://"), "/") }
	name := bare(audience)
	return name == bare(issuer) || name == "kubernetes.default" || name == "kubernetes.default.svc" || strings.HasPrefix(name, "kubernetes.default.svc.")
}
