// Where the script comes from says where the server is.

/** folder returns the address of the folder that a script is in, with the slash at its end. */
export const folder = (src = '') => src.replace(/[?#].*$/, '').replace(/[^/]*$/, '')
