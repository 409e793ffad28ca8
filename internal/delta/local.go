package delta

import "context"

// localFile is a delta's file on this machine, held until it is released.
type localFile struct {
	path    string
	release func()
}

// Local gives the path of a delta's file on this machine. It stays valid until
// the delta is trimmed or the log closed.
func (l *Log) Local(ctx context.Context, key string) (string, error) {
	l.mu.Lock()
	have, ok := l.mu.paths[key]
	l.mu.Unlock()
	if ok {
		return have.path, nil
	}
	path, release, err := l.store.Local(ctx, key)
	if err != nil {
		return "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if have, ok := l.mu.paths[key]; ok { // somebody else was faster
		release()
		return have.path, nil
	}
	l.mu.paths[key] = localFile{path, release}
	return path, nil
}

// Hold is Local for one reader of a delta that may be folded: the file stays until
// its release.
func (l *Log) Hold(ctx context.Context, key string) (path string, release func(), err error) {
	return l.store.Local(ctx, key)
}

// Path is Local for a delta that Open or Create just had; "" if the store cannot
// give its file now, which whoever opens "" finds out.
func (l *Log) Path(key string) string {
	path, err := l.Local(context.Background(), key)
	if err != nil {
		return ""
	}
	return path
}

func (l *Log) forget(key string) {
	l.mu.Lock()
	have, ok := l.mu.paths[key]
	delete(l.mu.paths, key)
	l.mu.Unlock()
	if ok {
		have.release()
	}
}

// Leave releases the paths of the deltas up to a sequence, which are folded and
// which nobody reads any more. They stay in the log.
func (l *Log) Leave(through int64) {
	l.mu.Lock()
	var gone []localFile
	for key, f := range l.mu.paths {
		if _, sequence, ok := ParseKey(key); ok && sequence <= through {
			gone = append(gone, f)
			delete(l.mu.paths, key)
		}
	}
	l.mu.Unlock()
	for _, f := range gone {
		f.release()
	}
}

// Close releases the paths that Local, Path and Open gave. It may be called
// twice.
func (l *Log) Close() {
	l.mu.Lock()
	all := l.mu.paths
	l.mu.paths = map[string]localFile{}
	l.mu.Unlock()
	for _, f := range all {
		f.release()
	}
}
