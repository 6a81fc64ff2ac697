package controller

// Bound sets how many SecretAccesses of a namespace count.
func (r *Reconciler) Bound(most int) { r.most = most }
