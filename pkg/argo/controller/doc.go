// Package controller reads, from the specification of a pod that runs Argo's
// workflow-controller and from its configuration, as whom it makes pods and which
// executor it gives to them. It is pure.
//
// It trusts who writes both: whoever may is Argo, as far as anybody can tell.
package controller
