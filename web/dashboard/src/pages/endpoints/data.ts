import { useQuery } from '@tanstack/react-query'
import { api, ok, type Schemas } from '../../api/client'

export type EndpointState = Schemas['EndpointState']
export type Endpoint = Schemas['EndpointObject']
/** Settings are what can be set of an endpoint. */
export type Settings = Omit<Endpoint, 'app' | 'name' | 'signed' | 'secrets' | 'lane' | 'backlog' | 'macros' | 'problems' | '$schema'>
export type Preview = Schemas['TemplatePreview']
export type Delivery = Schemas['DeliveryRow']

/** useEndpoints reads every endpoint that the member may see, with how its lane stands now. */
export function useEndpoints() {
  return useQuery({ queryKey: ['endpoints'], queryFn: async () => (await ok(api.GET('/v1/endpoints'))).endpoints, refetchInterval: 5_000 })
}

/** useMacros reads what a template can hold. It is of the server's build and of the operator's dialects. */
export function useMacros() {
  return useQuery({ queryKey: ['macros'], queryFn: () => ok(api.GET('/v1/macros')), staleTime: 60_000 })
}

/** useZones reads the ids of the zones of an app, with their titles. Networks' own zones are not among them. */
export function useZones(app: string) {
  return useQuery({
    queryKey: ['zones', 'of', app],
    queryFn: async () => Object.fromEntries((await ok(api.GET('/v1/zones', { params: { query: { app, limit: 1000 } } }))).zones.map((z) => [z.id, z.title ?? ''])),
    enabled: !!app,
  })
}

/** What a lane's state is called. */
export function standingOf({ endpoint, lane, backlog }: EndpointState): { outcome: string; words: string } {
  if (endpoint.paused) return { outcome: 'held', words: 'paused' }
  if (lane.breaker === 'open') return { outcome: 'fault', words: 'down' }
  if (backlog.waiting > 0 && lane.last_failed && (!lane.last_success || lane.last_failed > lane.last_success)) return { outcome: 'retry', words: 'failing' }
  return { outcome: 'ok', words: lane.last_success ? 'delivers' : 'ready' }
}

const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** milliseconds reads a duration as the objects file writes it, such as 1h30m or 7d. */
export function milliseconds(text: string): number {
  let sum = 0
  for (const [, n, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) sum += Number(n) * units[unit!]!
  return sum
}

/** nextExpiry is when the oldest of what waits is given up; undefined while nothing waits. */
export function nextExpiry({ endpoint, backlog }: EndpointState): string | undefined {
  if (!backlog.oldest || backlog.waiting === 0) return undefined
  return new Date(new Date(backlog.oldest).getTime() + milliseconds(endpoint.deadline)).toISOString()
}

/** settingsIn are the settings alone, of an endpoint as it is read. */
export function settingsIn({ app: _app, name: _name, signed: _signed, secrets: _secrets, lane: _lane, backlog: _backlog, macros: _macros, problems: _problems, ...settings }: Endpoint): Settings {
  return settings
}
