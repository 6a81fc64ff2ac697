// Package tag makes and opens admission tags: the annotation with which our
// mutating webhook tells the validating one and the notary what it saw, under
// an HMAC-SHA256.
//
// It trusts the keys it is given. A tag is public and comes back from hostile
// hands: it is bounded and its MAC checked before anything of it is parsed.
package tag
