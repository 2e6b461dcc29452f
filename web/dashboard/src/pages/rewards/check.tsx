import { Alert, List, Loader, Modal, Text } from '@mantine/core'
import { IconAlertTriangle, IconCheck } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { api, ok } from '../../api/client'
import { ProblemNote } from '../../parts/answer'
import { count } from '../../parts/number'

/** CheckLedger proves that every balance is the sum of its lines and every line has its cause, and shows where that is not so. */
export function CheckLedger({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  // It reads the whole ledger: asked for each time that the dialog opens, and at no other time.
  const check = useQuery({
    queryKey: ['ledger-check'], queryFn: () => ok(api.GET('/v1/ledger/check')), enabled: opened, gcTime: 0, staleTime: Infinity, refetchOnWindowFocus: false, retry: false,
  })
  return (
    <Modal opened={opened} onClose={onClose} title="Check the ledger">
      {check.isFetching && (
        <Text role="status">
          <Loader size="xs" aria-hidden /> Reading every reward, line and balance. With many millions this takes minutes.
        </Text>
      )}
      <ProblemNote error={check.error} retry={() => void check.refetch()} />
      {check.data && !check.isFetching && (
        <>
          {(check.data.faults ?? []).length === 0 ? (
            <Alert color="green" icon={<IconCheck aria-hidden />} title="The ledger agrees with itself">
              Every balance is the sum of its lines, and every line has its cause.
            </Alert>
          ) : (
            <Alert color="red" icon={<IconAlertTriangle aria-hidden />} title="The ledger does not agree with itself">
              <List size="sm">
                {(check.data.faults ?? []).map((f) => (
                  <List.Item key={f} className="foreign">
                    {f}
                  </List.Item>
                ))}
              </List>
            </Alert>
          )}
          <Text size="sm" mt="sm">
            {count(check.data.rewards)} rewards, {count(check.data.lines)} lines, {count(check.data.balances)} balances.
          </Text>
        </>
      )}
    </Modal>
  )
}
