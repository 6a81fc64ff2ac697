// Package controller has sealed artifacts compared with what lies in the stores: all of
// them, or a sample, once in a while. What is altered becomes a condition of its
// ArtifactSeal, an event and a metric. What is as it was sealed costs no write.
package controller
