// Ports that nobody listens at, for tests.

import { once } from 'node:events'
import { createServer } from 'node:net'

/** freePorts returns n of them. */
export async function freePorts(n) {
  const servers = Array.from({ length: n }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => server.address().port)
  for (const server of servers) server.close()
  return ports
}
