import { Alert, Button, Group, List, Skeleton, Stack, Text } from '@mantine/core'
import { IconAlertTriangle } from '@tabler/icons-react'
import type { ReactNode } from 'react'
import { RequestFailed } from '../api/client'

/** ProblemNote says why something failed, and what can be done about it. */
export function ProblemNote({ error, retry }: { error: unknown; retry?: () => void }) {
  if (!error) return null
  const failed = error instanceof RequestFailed ? error : null
  const faults = failed?.problem.errors ?? []
  return (
    <Alert color="red" icon={<IconAlertTriangle aria-hidden />} title={failed?.problem.title ?? 'This failed'} role="alert" my="sm">
      <Text size="sm" className="foreign">
        {error instanceof Error ? error.message : String(error)}
      </Text>
      {faults.length > 1 && (
        <List size="sm" mt="xs">
          {faults.map((f) => (
            <List.Item key={f.field + f.message}>
              <b>{f.field}</b>: {f.message}
            </List.Item>
          ))}
        </List>
      )}
      {failed?.problem.instance && (
        <Text size="xs" mt="xs">
          In the server's log: {failed.problem.instance}
        </Text>
      )}
      {retry && (
        <Group mt="sm">
          <Button size="xs" variant="default" onClick={retry}>
            Try again
          </Button>
        </Group>
      )}
    </Alert>
  )
}

/** Asked is how a question to the server stands, as the queries of TanStack say it, paged ones too. */
export interface Asked<T> {
  data: T | undefined
  isError: boolean
  error: unknown
  refetch: () => unknown
}

/**
 * Answer shows what a query has brought: a placeholder while it waits for the first time, the reason when it failed, else its children. What was
 * there before stays visible when a later attempt fails, with the reason above it.
 */
export function Answer<T>({ query, children, lines = 4 }: { query: Asked<T>; children: (data: T) => ReactNode; lines?: number }) {
  if (query.data === undefined) {
    if (query.isError) return <ProblemNote error={query.error} retry={() => void query.refetch()} />
    return (
      <Stack gap="xs" role="status" aria-label="Loading">
        {Array.from({ length: lines }, (_, i) => (
          <Skeleton key={i} height={18} />
        ))}
      </Stack>
    )
  }
  return (
    <>
      {query.isError && <ProblemNote error={query.error} retry={() => void query.refetch()} />}
      {children(query.data)}
    </>
  )
}
