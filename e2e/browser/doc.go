// Package browser opens what `argoseal trace -o html` writes in a headless Chromium of this
// machine, which the variable ARGOSEAL_BROWSER names: whether it is drawn, in light and in
// dark, asks nobody for anything, and has nothing to complain about. `make browser` runs it,
// and leaves the screenshots in bin/browser.
package browser
