// Package tag makes and opens admission tags: the annotation with which our
// mutating webhook tells the validating one and the notary what it saw, under
// an HMAC-SHA256.
//
// It trusts the keys it is given. A tag is public and comes back from hostile
// hands: it is bounded and its MAC checked before anything of it is parsed.
//
// A tag has a version. A release issues its own and opens that and the one
// before, each to the byte, so that an upgrade costs the pods that it finds
// running nothing; a later version is TooNew, which is retried. To add a field:
//
//   - give it to Tag, and to content as `json:"x,omitempty" since:"N"`, N being Version
//     (raise that first if a release has been made with it). The same holds for what
//     content is made of, pin.Pin and Executor;
//   - if version N has to have the field, validate says so for N alone: kept tags in
//     testdata show that the version before still opens.
package tag
