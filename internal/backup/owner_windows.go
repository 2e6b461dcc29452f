package backup

// takeOwner does nothing: files belong to whoever restores.
func takeOwner(string, ...string) error { return nil }
