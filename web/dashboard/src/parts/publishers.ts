import { useQuery } from '@tanstack/react-query'
import { api, ok } from '../api/client'
import { useSession } from '../api/session'

/** usePublishers reads the publishers that the member may see, with how much each has. */
export function usePublishers() {
  const { may } = useSession()
  return useQuery({ queryKey: ['publishers'], queryFn: async () => (await ok(api.GET('/v1/publishers'))).publishers, enabled: may('list-publishers') })
}
