import { useQuery } from '@tanstack/react-query'
import { api, ok } from '../api/client'
import { useSession } from '../api/session'

/** useNames reads what the sources or the endpoints are called that the member may see, as app/name. */
export function useNames(of: 'source' | 'endpoint') {
  const { may } = useSession()
  return useQuery({
    queryKey: ['names', of],
    queryFn: async () =>
      of === 'source'
        ? (await ok(api.GET('/v1/sources'))).sources.map((s) => `${s.app}/${s.name}`)
        : (await ok(api.GET('/v1/endpoints'))).endpoints.map((e) => `${e.endpoint.app}/${e.endpoint.name}`),
    staleTime: 30_000,
    enabled: may(`list-${of}s`),
  })
}
