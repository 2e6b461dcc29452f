import { useQuery } from '@tanstack/react-query'
import { api, ok, type Schemas } from '../../api/client'

export type Network = Schemas['NetworkProfile']
export type Health = Schemas['SourceHealth']
export type Source = Schemas['SourceObject']
/** Settings are what can be set of a source. */
export type Settings = Omit<Source, 'app' | 'name' | 'secrets' | 'network_secrets' | '$schema'>

/** inOrder puts the networks in the order in which they are chosen from: the most common one, the others by their titles, and last what is a convention of many. */
export function inOrder(networks: Network[]): Network[] {
  const rank = (n: Network) => (n.name === 'monetag' ? 0 : conventions.has(n.name) ? 2 : 1)
  return [...networks].sort((a, b) => rank(a) - rank(b) || a.title.localeCompare(b.title, 'en', { sensitivity: 'base' }))
}

// Profiles that are no network of their own: whoever looks for a network by its name is not looking for them.
const conventions = new Set(['standardwebhooks', 'subid'])

/** useNetworks reads which networks the server knows. They are of its build, and stay as they are. */
export function useNetworks() {
  return useQuery({ queryKey: ['networks'], queryFn: async () => (await ok(api.GET('/v1/networks'))).networks, staleTime: Infinity })
}

// How often it is asked while somebody waits for the first postback. It is counted in people, not in events.
const whileWaiting = 1500

/** useHealth reads whether what a network sends is believed. With watch it is read again and again. */
export function useHealth(app: string, name: string, watch: boolean) {
  return useQuery({
    queryKey: ['sources', app, name, 'health'],
    queryFn: () => ok(api.GET('/v1/sources/{app}/{name}/health', { params: { path: { app, name } } })),
    refetchInterval: (q) => (watch ? (q.state.data?.state === 'verified' ? 10_000 : whileWaiting) : false),
    staleTime: watch ? 0 : 30_000,
  })
}

/** settingsIn are the settings alone, of a source as it is read. */
export function settingsIn({ app: _app, name: _name, secrets: _secrets, network_secrets: _keys, ...settings }: Source): Settings {
  return settings
}
