import { useQuery } from '@tanstack/react-query'
import { api, ok } from '../api/client'

const list = { queryKey: ['apps'], queryFn: () => ok(api.GET('/v1/apps')), staleTime: 30_000 }

/** useApps reads the apps that the member may see, in order of name. */
export function useApps() {
  return useQuery({ ...list, select: ({ apps }) => apps })
}

/** useFile says from which file apps and all that belongs to them come. While there is one, they are changed there alone. */
export function useFile(): string | undefined {
  return useQuery({ ...list, select: ({ file }) => file ?? '' }).data
}
