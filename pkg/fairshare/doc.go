// Package fairshare shares out room, such as bytes of memory or turns, by who asks: max-min
// fairness, with weights. Whoever asks much waits for those who ask little.
package fairshare
