import { useQuery, useQueryClient } from '@tanstack/react-query'
import { createContext, type ReactNode, useContext, useEffect, useMemo } from 'react'
import { api, ok, onSignedOut, type Schemas } from './client'

export type Session = Schemas['SessionState']

interface Known {
  session: Session
  /** may says whether the member's role allows an operation, by its id in the OpenAPI document. The server decides again. */
  may: (operation: string) => boolean
}

const Context = createContext<Known | null>(null)

/** useSession returns who is signed in. */
export function useSession(): Known {
  const known = useContext(Context)
  if (!known) throw new Error('useSession is called outside of SessionProvider')
  return known
}

/** useSessionQuery asks who is signed in, whether anybody is or not. */
export function useSessionQuery() {
  const client = useQueryClient()
  useEffect(() => onSignedOut(() => void client.invalidateQueries({ queryKey: ['session'] })), [client])
  return useQuery({ queryKey: ['session'], queryFn: () => ok(api.GET('/v1/session')), staleTime: 60_000, refetchOnWindowFocus: true })
}

export function SessionProvider({ session, children }: { session: Session; children: ReactNode }) {
  const known = useMemo(() => {
    const allowed = new Set(session.may ?? [])
    return { session, may: (operation: string) => allowed.has(operation) }
  }, [session])
  return <Context value={known}>{children}</Context>
}
