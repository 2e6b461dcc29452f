package machine

import "golang.org/x/sys/windows"

// Space returns how many bytes this process may still use on the disk of a folder, and how many the disk has.
func Space(dir string) (free, total uint64, err error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, 0, err
	}
	err = windows.GetDiskFreeSpaceEx(path, &free, &total, nil)
	return free, total, err
}
