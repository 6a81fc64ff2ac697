//go:build e2e

package content

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/argoseal/argoseal/pkg/content/argoexec"
)

// hostile makes an archive that is honest but for a few random changes.
func hostile(r *rand.Rand) []byte {
	members := honest()
	for range r.IntN(4) {
		i := r.IntN(len(members))
		j := r.IntN(len(members))
		m := &members[i]
		switch r.IntN(16) {
		case 0:
			members[i], members[j] = members[j], members[i]
		case 1:
			members = append(members, members[j])
		case 2, 3: // also leaves children without their parent
			if len(members) > 1 {
				members = slices.Delete(members, i, i+1)
			}
		case 4:
			m.kind = []byte{tar.TypeLink, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeDir, tar.TypeFifo, tar.TypeCont, tar.TypeGNUSparse, tar.TypeXGlobalHeader, 0, 'V'}[r.IntN(11)]
		case 5:
			m.name = []string{"../x", "/out", "./out", "out//x", "out/../y", "out/.", "..", ".", "", "out/a.d/", "zz", "out/a.d/x/y/z"}[r.IntN(12)]
		case 6:
			m = &members[min(4, len(members)-1)] // the link, mostly
			m.target = []string{"..", "/etc/passwd", "../../x", "a.d", "out", ".", "a.d/../../out", "x"}[r.IntN(8)]
		case 7:
			m.mode = []int64{0, 0o4755, 0o7777, 0o111, 0o100644, 1 << 23, 1<<23 | 0o755, 1 << 20, 0o677}[r.IntN(9)]
		case 8:
			members = append(members, file("p"+argoexec.RandomName(r), "second"))
		case 9:
			m.name += argoexec.RandomName(r)
		case 10:
			m.name = strings.Replace(m.name, "out", "other", 1)
		case 11:
			m.pax = map[string]string{[]string{"path", "size", "linkpath", "GNU.sparse.major", "mtime", "comment", "SCHILY.xattr.user.x"}[r.IntN(7)]: []string{"out/zzz", "1", "0", "../e", "3.5"}[r.IntN(5)]}
		case 12:
			m.name = "out/a.d/" + strings.Repeat("d/", r.IntN(300)) + "f"
		case 13:
			members = slices.Insert(members, j, dir([]string{"out/a", "out/a.d", "out/b", "a", "out/a.d/link"}[r.IntN(5)]))
		case 14:
			m.body += "more"
		case 15:
			members = slices.Insert(members, j, file("out/a.d/link/through", "a link"))
		}
	}
	return spoil(r, pack(members...))
}

// hostileZip makes a zip that is honest but for a few random changes.
func hostileZip(r *rand.Rand) []byte {
	members := []member{file("out/a/b", "x"), file("out/a/c", "more"), file("out/a-", ""), file("out/z", "y")}
	change := func(*zip.FileHeader) {}
	for range r.IntN(3) {
		i, j := r.IntN(len(members)), r.IntN(len(members))
		m := &members[i]
		switch r.IntN(8) {
		case 0:
			members[i], members[j] = members[j], members[i]
		case 1:
			members = append(members, members[j])
		case 2:
			members = slices.Delete(members, i, min(i+1, len(members)-1))
		case 3:
			m.name = []string{"../x", "/out", "./out", "out//x", "out/..", "/", "", "out/a/", "zz", "/tmp/argo/x", "out/z/y", "out\\z"}[r.IntN(12)]
		case 4:
			m.name += argoexec.RandomName(r)
		case 5:
			m.name = "/" + m.name
		case 6:
			mode := argoexec.RandomMode(r)
			change = func(h *zip.FileHeader) { h.SetMode(mode) }
		case 7:
			change = func(h *zip.FileHeader) {
				h.Method, h.Comment, h.NonUTF8, h.Modified = zip.Store, "comment", true, time.Unix(1e9, 0)
			}
		}
	}
	stored := packZipAs(change, members...)
	switch r.IntN(8) {
	case 0:
		stored[r.IntN(len(stored))] ^= 1 << r.IntN(8)
	case 1:
		stored[len(stored)-1-r.IntN(zipEnd+60)] ^= 1 << r.IntN(8)
	case 2:
		return stored[:r.IntN(len(stored))]
	case 3:
		return append(packZip(file("hidden", "x")), stored...)
	case 4:
		return append([]byte("garbage"), stored...)
	case 5:
		return append(stored, "garbage"...)
	}
	return stored
}

// spoil compresses an archive, in one of the ways that readers may differ on.
func spoil(r *rand.Rand, archive []byte) []byte {
	switch r.IntN(20) {
	case 0: // no end mark
		archive = archive[:len(archive)-1024]
	case 1: // half an end mark
		archive = archive[:len(archive)-512]
	case 2: // something after the end
		archive = append(archive, pack(file("out/zzzz", "hidden"))...)
	case 3:
		archive = archive[:r.IntN(len(archive))]
	case 4:
		archive[r.IntN(len(archive))] ^= 1 << r.IntN(8)
	case 5: // several members
		at := r.IntN(len(archive))
		return append(gz(archive[:at]), gz(archive[at:])...)
	case 6: // cut in the first member, going on in the second
		at := r.IntN(len(archive)) &^ 511
		return slices.Concat(gz(archive[:at]), []byte("garbage"), gz(archive[at:]))
	case 7:
		return append(gz(archive), "garbage"...)
	case 8:
		stored := gz(archive)
		stored[r.IntN(len(stored))] ^= 1 << r.IntN(8)
		return stored
	case 9:
		stored := gz(archive)
		return stored[:r.IntN(len(stored))]
	case 10:
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.NoCompression)
		z.Name, z.Comment, z.Extra = "name", "comment", []byte("extra")
		z.Write(archive)
		z.Close()
		return b.Bytes()
	}
	return gz(archive)
}
