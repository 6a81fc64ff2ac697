// Package kms is a KMS v2 plugin of an API server: it has a key service encrypt the
// seeds of the keys that objects in etcd lie under. The API server makes these seeds,
// one each time that it starts or that the key changes, so that the service is asked
// seldom; nothing is kept here.
//
// There is one key that is written with, and there may be others that are read with.
// Each has an ID, which the API server stores in plain text beside what lies under the
// key, and by which it knows that this is another key now. Whoever makes a [Key] sees to
// it that the ID is never another key's.
//
// It trusts the key service, and whoever may open its socket, which is its owner alone.
// Neither a seed nor what lies under a key gets into a log, a metric or an error.
package kms
