package encryption

import (
	"fmt"
	"strings"
)

// sound holds everything back while a server cannot be seen, and puts back
// files that are lost.
func sound(o Observed) (Step, bool) {
	if len(o.Servers) == 0 {
		return halt(NoServers, "no API server is known"), false
	}
	var unseen, foreign []string
	if o.Uncounted != "" {
		unseen = append(unseen, "which API servers there are: "+o.Uncounted)
	}
	nameless := 0 // names that may be any server's
	for _, s := range o.Servers {
		if s.ID == "" {
			nameless++
		}
		switch {
		case s.FileProblem == FileUnseen:
			unseen = append(unseen, s.Name+": "+s.Detail)
		case s.Unseen != "" && !s.lost(): // without its file it cannot even start
			unseen = append(unseen, s.Name+": "+s.Unseen)
		case s.Unseen == "" && s.ID == "" && len(o.Servers) > 1:
			unseen = append(unseen, s.Name+": it does not say which server it is (feature gate APIServerIdentity)")
		case s.FileProblem == FileForeign:
			foreign = append(foreign, s.Name+": "+s.Detail)
		}
	}
	switch {
	case len(unseen) > 0:
		return halt(ServerUnseen, "%s", strings.Join(unseen, "; ")), false
	case len(twins(o.Servers)) > 0:
		return halt(SameServer, "%s: name each server by its own address, not by that of a load balancer, and give each machine a host name of its own", strings.Join(twins(o.Servers), "; ")), false
	case len(o.Others) > nameless:
		return halt(ServerUnnamed, "%s: API servers of this cluster by their leases in kube-system, and no name is theirs, so nobody asks whether they can read what the others write; name them, each by its own address. The lease of one that is gone for good leaves by itself within two hours, or kubectl -n kube-system delete lease does it", strings.Join(o.Others, ", ")), false
	case len(foreign) > 0:
		return halt(FileNotOurs, "%s", strings.Join(foreign, "; ")), false
	}
	return repair(o.Servers)
}

// twins are names that one server answers for: another that nobody sees may be
// behind one of them.
func twins(servers []Server) []string {
	var found []string
	first := map[string]string{}
	for _, s := range servers {
		if s.ID == "" {
			continue
		}
		if other, twice := first[s.ID]; twice {
			found = append(found, fmt.Sprintf("%s and %s are answered by one server", other, s.Name))
			continue
		}
		first[s.ID] = s.Name
	}
	return found
}

// repair puts lost files back: to what the server runs with, if another server
// has that file or its node has kept it, otherwise to what all others agree on. A
// server never loses a key by it that it would have kept: it had no file to load.
func repair(servers []Server) (Step, bool) {
	files := map[string]Config{}
	var lost []string
	for _, s := range servers {
		if !s.lost() {
			continue
		}
		config, ok := lostFile(s, servers)
		if !ok {
			lost = append(lost, fmt.Sprintf("%s: %s", s.Name, s.Detail))
			continue
		}
		files[s.Name] = config
	}
	switch {
	case len(lost) > 0:
		return halt(FileLost, "%s; neither another server nor the node has the keys of this one for certain", strings.Join(lost, "; ")), false
	case len(files) > 0:
		return Step{Action: WriteFiles, Reason: FileRepaired, Message: "putting back the file of " + names(files), Files: files}, false
	}
	return Step{}, true
}

func lostFile(lost Server, servers []Server) (Config, bool) {
	var others []Server
	for _, s := range servers {
		if s.lost() {
			continue
		}
		if s.FileHash == lost.Loaded {
			return s.File, true
		}
		others = append(others, s)
	}
	if kept, ok := lost.Kept[lost.Loaded]; ok {
		return kept, true
	}
	if len(others) == 0 {
		return Config{}, false
	}
	for _, s := range others {
		if !s.loaded() || !s.File.Equal(others[0].File) {
			return Config{}, false
		}
	}
	return others[0].File, true
}
