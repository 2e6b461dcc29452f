import { useQuery } from '@tanstack/react-query'
import { api, ok } from '../api/client'

/** useApps reads the apps that the member may see, in order of name. */
export function useApps() {
  return useQuery({ queryKey: ['apps'], queryFn: async () => (await ok(api.GET('/v1/apps'))).apps, staleTime: 30_000 })
}
