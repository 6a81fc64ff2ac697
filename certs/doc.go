// Package certs makes and rotates the webhook's serving certificate, and keeps
// the API server's trust in it right, without any other program.
//
// All replicas run it. What they share is one Secret; every step is one write
// to it under optimistic concurrency, so it does not matter which of them takes
// the step. Plan decides the step and is pure; Keeper reads, applies and
// writes; Serving hands the current certificate to each TLS handshake from
// memory.
//
// A new authority never breaks a call: it is added to the caBundle of the
// webhook configurations beside the old one, and only after it was seen there
// for a while (an API server reads its configurations with a delay) a leaf
// signed by it is served. The old authority stays in the caBundle until it has
// expired, when no leaf of it can be served any more; its key is thrown away
// when the new authority is made.
//
// It trusts whoever may write the Secret. Deleting the Secret is the emergency
// exit: a new authority is made and the old one is forgotten at once, at the
// price of a few refused calls.
package certs
