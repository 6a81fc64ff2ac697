// Package pages has informers that list objects page by page where the API server does not
// stream lists (before 1.34), and keep of each page what a transform leaves of it. By itself
// client-go collects all pages, and only then hands them over: whoever keeps small notes of
// many large objects would have all of those in memory first, at each start and whenever a
// watch has expired. A page is bounded by its bytes, which Bound counts: there may be many small
// objects, and nobody knows before whether the next ones are large.
package pages
