import { Center, Loader, MantineProvider, Modal } from '@mantine/core'
import { Notifications } from '@mantine/notifications'
import { MutationCache, type Query, QueryClient, QueryClientProvider, useQueryClient } from '@tanstack/react-query'
import { Component, type ReactNode, Suspense, useState } from 'react'
import { BrowserRouter, Route, Routes, useLocation } from 'react-router'
import { RequestFailed } from './api/client'
import { type Session, SessionProvider, useSessionQuery } from './api/session'
import { ProblemNote } from './parts/answer'
import { Empty, Page } from './parts/page'
import { SignIn, SignInForm, Welcome } from './shell/entry'
import { pages } from './shell/pages'
import { Shell } from './shell/shell'
import { legible, theme } from './theme'

function makeQueryClient(): QueryClient {
  const client = new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 5_000,
        // What the caller did wrong stays wrong; what the server could not do may be over in a moment.
        retry: (failures, error) => failures < 2 && !(error instanceof RequestFailed && error.status >= 400 && error.status < 500),
      },
    },
    mutationCache: new MutationCache({ onSuccess: () => void readAgain(client) }),
  })
  return client
}

/**
 * readAgain reads anew all that may have been changed, so that what is shown is never older than one's own change. A first read that is
 * still under way may have been answered before the change, and invalidateQueries alone would wait for just that answer.
 */
async function readAgain(client: QueryClient) {
  const data = (q: Query) => q.queryKey[0] !== 'session'
  await client.cancelQueries({ predicate: (q) => data(q) && q.state.data === undefined })
  await client.invalidateQueries({ predicate: data })
}

const nonce = () => document.querySelector<HTMLMetaElement>('meta[name=csp-nonce]')?.content ?? ''

// The scroll lock behind dialogs adds a style of its own, and looks for the nonce where webpack would leave it.
Object.assign(globalThis, { __webpack_nonce__: nonce() })

/** App is the whole dashboard. */
export function App() {
  const [client] = useState(makeQueryClient)
  return (
    <MantineProvider theme={theme} cssVariablesResolver={legible} defaultColorScheme="auto" getStyleNonce={nonce}>
      <Notifications position="top-right" />
      <QueryClientProvider client={client}>
        <BrowserRouter>
          <Gate />
        </BrowserRouter>
      </QueryClientProvider>
    </MantineProvider>
  )
}

/** Gate shows the pages to members, and the sign-in to everybody else. */
function Gate() {
  const query = useSessionQuery()
  const { pathname } = useLocation()
  const [member, setMember] = useState<Session | null>(null)
  const session = query.data
  if (!session) {
    return <Center mih="100vh">{query.isError ? <ProblemNote error={query.error} retry={() => void query.refetch()} /> : <Loader aria-label="Loading" />}</Center>
  }
  if (pathname === '/welcome') return <Welcome session={session} />
  if (session.signed_in && session !== member) setMember(session)
  const shown = session.signed_in ? session : member
  if (!shown) return <SignIn session={session} />
  return (
    <SessionProvider session={shown}>
      <Shell>
        <Pages />
      </Shell>
      {!session.signed_in && <SessionEnded email={shown.member?.email} />}
    </SessionProvider>
  )
}

/** SessionEnded lets somebody whose session has ended sign in over the page, which keeps all that was typed. */
function SessionEnded({ email }: { email?: string }) {
  const client = useQueryClient()
  return (
    <Modal opened onClose={() => void client.invalidateQueries({ queryKey: ['session'] })} title="Your session has ended" withCloseButton={false} closeOnClickOutside={false} closeOnEscape={false}>
      <p>Sign in again to go on: what you typed is still there.</p>
      <SignInForm email={email} />
    </Modal>
  )
}

function Pages() {
  const { pathname } = useLocation()
  return (
    <Fault key={pathname.split('/')[1]}>
      <Suspense fallback={<Loader aria-label="Loading" />}>
        <Routes>
          {pages.map((p) => (
            <Route key={p.path} path={p.path} element={<p.component />} />
          ))}
          <Route path="*" element={<Page title="Nothing here"><Empty title="There is no page at this address">The navigation shows those that there are.</Empty></Page>} />
        </Routes>
      </Suspense>
    </Fault>
  )
}

/** Fault keeps a page that fails from taking the navigation with it. */
class Fault extends Component<{ children: ReactNode }, { error?: Error }> {
  state: { error?: Error } = {}
  static getDerivedStateFromError(error: Error) {
    return { error }
  }
  render() {
    if (!this.state.error) return this.props.children
    return (
      <Page title="This page has failed">
        <ProblemNote error={this.state.error} retry={() => location.reload()} />
      </Page>
    )
  }
}
